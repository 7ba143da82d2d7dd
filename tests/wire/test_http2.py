"""HTTP/2: many requests on one connection, and how a server refuses one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest

from spanwire.wire import provably_unsent
from tests.wire.colours import Wire
from tests.wire.http2 import http2
from tests.wire.origins import Server

ONE = httpx.Limits(max_connections=1, keepalive_expiry=None)


@pytest.fixture
def origin(h2_tls: ssl.SSLContext) -> Iterator[Server]:
    with Server(http2, tls=h2_tls) as server:
        yield server


@pytest.fixture(params=["sync", "asyncio", "trio"])
def ours(request: pytest.FixtureRequest, trust: ssl.SSLContext) -> Iterator[Wire]:
    with Wire(request.param, http2=True, verify=trust, limits=ONE) as wire:
        yield wire


def test_requests_share_one_connection(ours: Wire, origin: Server) -> None:
    assert ours.get(origin.url).http_version == "HTTP/2"
    origin.opens_for = 5
    assert ours.together(5, origin.url + "/hold") == [200] * 5
    assert origin.accepted == 1
    assert ours.transport.connections() == (0, 1)


def test_requests_that_come_while_a_connection_is_made_share_it(ours: Wire, origin: Server) -> None:
    assert ours.together(5, origin.url) == [200] * 5
    assert origin.accepted == 1


@pytest.mark.parametrize("path", ["/refuse", "/go-away-at-once"])
def test_a_refused_stream_was_provably_not_processed(ours: Wire, origin: Server, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        ours.get(origin.url + path)
    assert provably_unsent(caught.value)
    assert ours.get(origin.url).status_code == 200


@pytest.mark.parametrize("path", ["/reset", "/go-away", "/hang-up"])
def test_a_broken_stream_may_have_been_processed(ours: Wire, origin: Server, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        ours.get(origin.url + path)
    assert not provably_unsent(caught.value)
    assert ours.get(origin.url).status_code == 200
