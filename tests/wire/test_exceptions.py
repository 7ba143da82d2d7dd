"""Whatever fails below, on any wire, comes up as httpx's exception for it."""

from __future__ import annotations

import ssl

import httpx
import pytest

from spanwire.wire import provably_unsent
from tests.wire.conftest import Make
from tests.wire.origins import Server, deaf, http1

ONE = httpx.Limits(max_connections=1)


def test_a_refused_connection_is_a_connect_error(wire: Make, nobody: str) -> None:
    with pytest.raises(httpx.ConnectError, match=r"[a-z]") as caught:
        wire().get(nobody)
    assert provably_unsent(caught.value)


def test_an_untrusted_certificate_is_a_connect_error(wire: Make, server_tls: ssl.SSLContext) -> None:
    with Server(http1, tls=server_tls) as origin, pytest.raises(httpx.ConnectError, match="certificate"):
        wire(verify=True).get(origin.url)


def test_a_tls_handshake_without_an_answer_is_a_connect_timeout(wire: Make) -> None:
    with Server(deaf) as origin, pytest.raises(httpx.ConnectTimeout):
        wire().get(origin.url.replace("http:", "https:"), timeout=httpx.Timeout(5, connect=0.05))


def test_an_answer_that_does_not_come_is_a_read_timeout(wire: Make, origin: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        wire().get(origin.url + "/hold", timeout=httpx.Timeout(5, read=0.05))


def test_a_body_that_stops_is_a_read_timeout(wire: Make, origin: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        wire().get(origin.url + "/drip", timeout=httpx.Timeout(5, read=0.05))


def test_a_body_that_nobody_takes_is_a_write_timeout(wire: Make) -> None:
    with Server(deaf) as origin:
        ours = wire()
        if ours.colour == "aiohttp":
            pytest.skip("aiohttp has no timeout for writing")
        with pytest.raises(httpx.WriteTimeout):
            ours.send("POST", origin.url, content=bytes(20_000_000), timeout=httpx.Timeout(5, write=0.05))


def test_no_free_slot_is_a_pool_timeout(wire: Make, origin: Server) -> None:
    ours = wire(limits=ONE)
    held = ours.open(origin.url + "/drip")
    with pytest.raises(httpx.PoolTimeout):
        ours.get(origin.url, timeout=httpx.Timeout(5, pool=0.02))
    ours.close(held.stream)


@pytest.mark.parametrize("path", ["/garbage", "/hang-up", "/cut-short"])
def test_an_answer_that_is_not_http_or_not_whole_is_a_remote_protocol_error(
    wire: Make, origin: Server, path: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=r"[a-z]") as caught:
        wire().get(origin.url + path)
    assert not provably_unsent(caught.value)


def test_an_unknown_scheme_is_an_unsupported_protocol(wire: Make) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        wire().get("ftp://127.0.0.1/")


def test_an_error_keeps_its_message_its_cause_and_its_request(wire: Make, origin: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        wire().get(origin.url + "/hang-up")
    assert str(caught.value) == str(caught.value.__cause__) != ""
    assert caught.value.request.url.path == "/hang-up"


def test_what_the_callers_own_body_raises_is_not_translated(wire: Make, origin: Server) -> None:
    ours = wire(limits=ONE)
    with pytest.raises(ZeroDivisionError):
        ours.send("POST", origin.url + "/echo", content=ours.body(b"half", ZeroDivisionError()))
    assert ours.get(origin.url).status_code == 200
