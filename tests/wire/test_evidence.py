"""What an attempt learns from the wire: how long it waited for a connection, what connecting took, whom it reached."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from spanwire.call import ATTEMPT
from tests.wire.colours import Wire
from tests.wire.conftest import Make
from tests.wire.origins import Server, deaf, http1
from tests.wire.proxies import http_proxy, socks5

ONE = httpx.Limits(max_connections=1)


class Attempt:
    """What the wire writes on, and nothing else."""

    __slots__ = ("abort", "connect", "lost", "peer", "pool_wait")

    def __init__(self) -> None:
        self.pool_wait = 0.0
        self.connect: float | None = None
        self.peer: tuple[str, int] | None = None
        self.abort: Callable[[], None] | None = None
        self.lost = False


def attempt(wire: Wire, url: str, **options: Any) -> Attempt:
    """Send one attempt, whatever becomes of it."""
    made = Attempt()
    wire.together(1, url, extensions={ATTEMPT: made}, **options)
    return made


def test_a_new_connection_tells_what_connecting_took_and_whom_it_reached(wire: Make, origin: Server) -> None:
    made = attempt(wire(), origin.url)
    assert made.connect is not None
    assert made.connect > 0
    assert made.peer == ("127.0.0.1", origin.port)


def test_a_reused_connection_took_no_connecting_and_has_the_same_peer(wire: Make, origin: Server) -> None:
    ours = wire()
    attempt(ours, origin.url)
    again = attempt(ours, origin.url)
    assert (again.connect, again.peer) == (None, ("127.0.0.1", origin.port))
    assert 0 <= again.pool_wait < 0.1


def test_an_attempt_tells_how_long_it_waited_for_a_connection(wire: Make, origin: Server) -> None:
    entered = threading.Event()

    def clock() -> float:
        now = time.perf_counter()
        entered.set()
        return now

    ours = wire(limits=ONE, clock=clock)
    held = ours.open(origin.url + "/drip")
    entered.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(attempt, ours, origin.url)
        entered.wait()
        since = time.perf_counter()
        origin.requests.clear()
        passed = time.perf_counter() - since
        ours.close(held.stream)
        made = waiting.result()
    assert made.pool_wait > passed
    assert made.connect is not None  # the connection that it waited for was closed with the rest of a body on it


def test_a_pool_timeout_tells_how_long_the_attempt_waited_for_nothing(wire: Make, origin: Server) -> None:
    ours = wire(limits=ONE)
    held = ours.open(origin.url + "/drip")
    made = attempt(ours, origin.url, timeout=httpx.Timeout(5, pool=0.03))
    ours.close(held.stream)
    assert made.pool_wait >= 0.03
    assert (made.connect, made.peer) == (None, None)


@pytest.mark.parametrize("colour", ["asyncio", "trio", "aiohttp"])
def test_a_cancelled_attempt_tells_how_long_it_had_waited(colour: str, origin: Server) -> None:
    made = Attempt()

    async def give_up() -> None:
        with anyio.move_on_after(0.03):
            await ours.client.get(origin.url, extensions={ATTEMPT: made})

    with Wire(colour, limits=ONE) as ours:
        held = ours.open(origin.url + "/drip")
        ours.run(give_up)
        ours.close(held.stream)
    assert made.pool_wait >= 0.03


def test_a_failed_connect_is_timed_as_well(wire: Make, nobody: str) -> None:
    made = attempt(wire(), nobody)
    assert made.connect is not None
    assert made.peer is None


def test_a_tls_handshake_that_times_out_is_connecting(wire: Make) -> None:
    with Server(deaf) as origin:
        made = attempt(wire(), origin.url.replace("http:", "https:"), timeout=httpx.Timeout(5, connect=0.05))
    assert made.connect is not None
    assert made.connect >= 0.05


def test_the_first_request_of_a_connection_may_fail_after_connecting(wire: Make, origin: Server) -> None:
    made = attempt(wire(), origin.url + "/hang-up")
    assert made.connect is not None
    assert made.peer == ("127.0.0.1", origin.port)


@pytest.mark.parametrize("tunnelled", [False, True])
def test_by_a_proxy_the_peer_is_the_proxy_and_the_tunnel_is_connecting(
    wire: Make, server_tls: ssl.SSLContext, trust: ssl.SSLContext, tunnelled: bool
) -> None:
    with Server(http1, tls=server_tls if tunnelled else None) as origin, Server(http_proxy) as proxy:
        ours = wire(proxy=proxy.url, verify=trust)
        first, second = attempt(ours, origin.url), attempt(ours, origin.url)
    assert first.connect is not None
    assert first.peer == ("127.0.0.1", proxy.port)
    if tunnelled:  # the proxy forwards one request on each connection
        assert (second.connect, second.peer) == (None, first.peer)


def test_by_socks_the_peer_is_the_proxy(wire: Make, origin: Server) -> None:
    with Server(socks5) as proxy:
        if (ours := wire()).colour == "aiohttp":
            pytest.skip("aiohttp has no SOCKS")
        ours = wire(proxy=f"socks5://127.0.0.1:{proxy.port}")
        made = attempt(ours, origin.url)
    assert made.connect is not None
    assert made.peer == ("127.0.0.1", proxy.port)


def test_a_unix_socket_has_no_peer(wire: Make, tmp_path: Path) -> None:
    with Server(http1, uds=str(tmp_path / "origin")) as origin:
        made = attempt(wire(uds=origin.uds), "http://anything/")
    assert made.connect is not None
    assert made.peer is None


def test_the_users_own_trace_is_still_called(origin: Server, wire: Make) -> None:
    ours, names = wire(), []

    async def atrace(name: str, _info: object) -> None:
        names.append(name)

    def trace(name: str, _info: object) -> None:
        names.append(name)

    if ours.colour == "aiohttp":
        pytest.skip("aiohttp has no such hook")
    ours.get(origin.url, extensions={"trace": trace if ours.colour == "sync" else atrace, ATTEMPT: Attempt()})
    assert names[:2] == ["connection.connect_tcp.started", "connection.connect_tcp.complete"]
    assert "http11.response_closed.complete" in names


def test_the_clock_is_the_callers(wire: Make, origin: Server) -> None:
    made = attempt(wire(clock=lambda: 7.0), origin.url)
    assert (made.pool_wait, made.connect) == (0.0, 0.0)
