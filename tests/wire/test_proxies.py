"""Every way to the origin but the direct one: forwarded, tunnelled, by SOCKS, by a Unix socket."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from spanwire.wire import provably_unsent
from tests.wire.colours import Wire
from tests.wire.conftest import Make
from tests.wire.origins import Server, http1
from tests.wire.proxies import http_proxy, socks5


@pytest.fixture
def proxy() -> Iterator[Server]:
    with Server(http_proxy) as server:
        yield server


@pytest.fixture
def secure(server_tls: ssl.SSLContext) -> Iterator[Server]:
    with Server(http1, tls=server_tls) as server:
        yield server


def test_a_plain_request_is_forwarded_with_the_proxys_headers(wire: Make, origin: Server, proxy: Server) -> None:
    ours = wire(proxy=httpx.Proxy(proxy.url, auth=("user", "secret"), headers={"X-Proxy": "1"}))
    assert ours.get(origin.url + "/a").text == "ok"
    (head,) = proxy.requests
    assert head.startswith(f"GET {origin.url}/a HTTP/1.1")
    assert "proxy-authorization: basic dxnlcjpzzwnyzxq=" in head.lower()
    assert "x-proxy: 1" in head.lower()


def test_a_secure_request_is_tunnelled_and_hides_its_path_from_the_proxy(
    wire: Make, secure: Server, proxy: Server, trust: ssl.SSLContext
) -> None:
    ours = wire(proxy=f"http://user:secret@127.0.0.1:{proxy.port}", verify=trust)
    assert [ours.get(secure.url + "/a").text for _ in range(2)] == ["ok", "ok"]
    (head,) = proxy.requests
    assert head.startswith(f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1")
    assert "proxy-authorization: basic dxnlcjpzzwnyzxq=" in head.lower()


def test_a_tunnel_that_the_proxy_refuses_is_a_proxy_error_and_nothing_was_sent(wire: Make, proxy: Server) -> None:
    with pytest.raises(httpx.ProxyError, match="502") as caught:
        wire(proxy=proxy.url).get("https://127.0.0.1:1")
    assert provably_unsent(caught.value)


def test_a_proxy_that_is_not_there_is_a_connect_error(wire: Make, nobody: str) -> None:
    with pytest.raises(httpx.ConnectError):
        wire(proxy=nobody).get("https://127.0.0.1:1")


def test_a_tunnel_whose_tls_fails_gives_its_slot_back(
    wire: Make, secure: Server, origin: Server, proxy: Server
) -> None:
    ours = wire(proxy=proxy.url, limits=httpx.Limits(max_connections=1), verify=True)
    with pytest.raises(httpx.ConnectError, match="certificate"):
        ours.get(secure.url)
    assert ours.get(origin.url, timeout=1).text == "ok"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_request_goes_by_socks(
    colour: str, origin: Server, secure: Server, trust: ssl.SSLContext, scheme: str
) -> None:
    with Server(socks5) as proxy, Wire(colour, proxy=f"{scheme}://127.0.0.1:{proxy.port}", verify=trust) as ours:
        assert ours.get(origin.url).text == "ok"
        assert ours.get(secure.url).text == "ok"
        assert proxy.requests == [f"127.0.0.1:{origin.port}", f"127.0.0.1:{secure.port}"]
        with pytest.raises(httpx.ProxyError, match="refused") as caught:
            ours.get("http://127.0.0.1:1")
        assert provably_unsent(caught.value)
        assert ours.transport.connections() == (0, 2)


def test_a_request_goes_by_a_unix_socket(wire: Make, tmp_path: Path) -> None:
    with Server(http1, uds=str(tmp_path / "origin")) as origin:
        ours = wire(uds=origin.uds)
        assert ours.get("http://anything/a").text == "ok"
        assert origin.requests == ["GET /a HTTP/1.1"]
