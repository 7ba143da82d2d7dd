"""Which wires there are, what they are made from, and what is said when one cannot be had."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from spanwire.errors import ConfigurationError
from spanwire.wire import AsyncHTTPCore2Transport, HTTPCore2Transport, async_wire, sync_wire
from tests.wire.conftest import Make
from tests.wire.origins import Server, http1


def test_a_wire_is_chosen_by_its_name() -> None:
    assert isinstance(sync_wire(), HTTPCore2Transport)
    assert isinstance(async_wire(), AsyncHTTPCore2Transport)
    assert isinstance(sync_wire("httpx"), httpx.HTTPTransport)
    assert isinstance(async_wire("httpx"), httpx.AsyncHTTPTransport)
    assert type(async_wire("aiohttp")).__name__ == "AiohttpTransport"


@pytest.mark.parametrize("make", [sync_wire, async_wire])
def test_an_unknown_wire_is_refused_with_those_there_are(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"wire: 'curl' is unknown; use 'httpcore2', 'httpx' or 'aiohttp'"):
        make("curl")


def test_aiohttp_is_refused_to_a_sync_client() -> None:
    with pytest.raises(ConfigurationError, match="wire: 'aiohttp' serves AsyncClient only; use wire='httpcore2'"):
        sync_wire("aiohttp")


def test_aiohttp_that_is_not_installed_is_refused_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spanwire.wire.aiohttp", "spanwire.wire.aiohttp_session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"wire: 'aiohttp' needs .* pip install 'spanwire\[aiohttp\]'"):
        async_wire("aiohttp")


@pytest.mark.parametrize(
    "asked", [{"http2": True}, {"http1": False}, {"retries": 1}, {"proxy": "socks5://127.0.0.1:1"}], ids=str
)
def test_aiohttp_refuses_what_it_cannot_do(asked: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"wire: 'aiohttp' has no .*; use wire='httpcore2'"):
        async_wire("aiohttp", **asked)


def test_socks_without_socksio_is_refused_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'spanwire\[socks\]'"):
        sync_wire(proxy="socks5://127.0.0.1:1")


def test_a_proxy_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        sync_wire(proxy="ftp://127.0.0.1")


def test_verify_and_cert_are_those_of_httpx(
    wire: Make, authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    mutual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(mutual)
    authority.configure_trust(mutual)
    mutual.verify_mode = ssl.CERT_REQUIRED
    certificate = tmp_path / "client.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(certificate)
    with Server(http1, tls=server_tls) as origin:
        assert wire(verify=False).get(origin.url).status_code == 200
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    trust.load_cert_chain(certificate)
    with Server(http1, tls=mutual) as origin:
        assert wire(verify=trust).get(origin.url).status_code == 200


def test_socket_options_and_the_local_address_reach_the_socket(wire: Make, origin: Server) -> None:
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    ours = wire(socket_options=iter([option]), local_address="127.0.0.1")
    held = [ours.open(origin.url + "/drip") for _ in range(2)]
    for response in held:
        stream = response.extensions.get("network_stream")
        if stream is not None:
            assert stream.get_extra_info("socket").getsockopt(*option[:2]) == 1
        ours.close(response.stream)


def test_a_connect_is_retried_as_often_as_asked(nobody: str) -> None:
    names = []
    with httpx.Client(transport=sync_wire(retries=1), trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(nobody, extensions={"trace": lambda name, _: names.append(name)})
    assert names.count("connection.connect_tcp.failed") == 2
