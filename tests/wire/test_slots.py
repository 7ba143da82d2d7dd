"""No slot of a pool is ever lost: the reason why the default wire is not httpx's own."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest

from tests.wire.colours import Wire
from tests.wire.conftest import Make
from tests.wire.http2 import http2
from tests.wire.origins import Server, http1
from tests.wire.proxies import http_proxy

SLOTS = 5
LIMITS = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
CROWD = 60
"""Requests at once: twelve for each slot."""

httpx_loses = pytest.mark.skipif(httpx.__name__ != "httpx", reason="httpx2 has mended this")


def all_slots_work(wire: Wire, server: Server, **options: Any) -> bool:
    """Whether the pool has as many requests under way at once as it may: they hold until the last of them is there."""
    server.opens_for = SLOTS
    return wire.together(SLOTS, server.url + "/hold", **options) == [200] * SLOTS


# -- httpx's own pool: the day these fail, it is mended, and the default wire can be httpx's again ---------------------


@httpx_loses
def test_the_pool_of_httpx_loses_slots_by_pool_timeouts_alone(origin: Server) -> None:
    with Wire("asyncio", "httpx", limits=LIMITS) as wire:
        for round_ in range(40):
            wire.together(CROWD, origin.url + "/close", timeout=httpx.Timeout(5, pool=0.005 * (1 + round_ % 8)))
        assert not all_slots_work(wire, origin, timeout=0.5)


@httpx_loses
def test_the_pool_of_httpx_loses_the_slots_of_requests_cancelled_in_the_moment_they_get_one(origin: Server) -> None:
    with Wire("asyncio", "httpx", limits=LIMITS) as wire:
        wire.run(cancelled_in_the_moment, wire.client, origin.url)
        assert not all_slots_work(wire, origin, timeout=0.5)


@pytest.mark.skipif(httpx.__name__ != "httpx2", reason="a story of httpx2, told by `make test-httpx2`")
@pytest.mark.parametrize("path", ["/", "/close"])
def test_the_pool_of_httpx2_loses_no_slot_on_plain_connections(origin: Server, path: str) -> None:
    chance, place, cancelled = random.Random(3), Place("keep" if path == "/" else "close", origin, {}), 0
    with Wire("asyncio", "httpx", limits=LIMITS) as wire:
        for _ in range(16):
            wire.together(CROWD, origin.url + path, timeout=httpx.Timeout(5, pool=chance.uniform(0, 0.01)))
        while cancelled < place.many:
            cancelled += wire.run(cancel_at_random, wire, place, chance)
        assert all_slots_work(wire, origin)


# -- ours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["asyncio", "aiohttp"])
def test_a_request_cancelled_in_the_moment_it_gets_a_slot_gives_it_back(colour: str, origin: Server) -> None:
    with Wire(colour, limits=LIMITS) as wire:
        wire.run(cancelled_in_the_moment, wire.client, origin.url)
        assert all_slots_work(wire, origin)


async def cancelled_in_the_moment(client: httpx.AsyncClient, url: str) -> None:
    """Fill all slots, let as many requests wait, and cancel each right after it was given the slot of another.

    asyncio only: anyio's cancel scopes and trio let a task that has been woken go on to its next checkpoint.
    """
    full = [await client.send(client.build_request("GET", url + "/drip"), stream=True) for _ in range(SLOTS)]
    waiting = [asyncio.create_task(client.get(url)) for _ in range(SLOTS)]
    await anyio.wait_all_tasks_blocked()
    for response, task in zip(full, waiting, strict=True):
        await response.aclose()
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@dataclass(frozen=True)
class Place:
    """Where requests go: an origin that keeps or closes its connections, plainly, by TLS, by a tunnel, by HTTP/2."""

    kind: str
    server: Server
    arguments: dict[str, Any]

    @property
    def url(self) -> str:
        return self.server.url + ("/" if self.kind in ("keep", "http2") else "/close")

    @property
    def many(self) -> int:
        """Pool timeouts or cancellations to live through; fewer where connecting takes longer."""
        return 1000 if self.kind in ("keep", "close") else 400


@pytest.fixture(params=["keep", "close", "tls", "tunnel", "http2"])
def place(
    request: pytest.FixtureRequest, server_tls: ssl.SSLContext, h2_tls: ssl.SSLContext, trust: ssl.SSLContext
) -> Iterator[Place]:
    kind = request.param
    arguments: dict[str, Any] = {"limits": LIMITS, "verify": trust}
    with ExitStack() as stack:
        if kind == "http2":
            server = stack.enter_context(Server(http2, tls=h2_tls))
            arguments["http2"] = True
        else:
            server = stack.enter_context(Server(http1, tls=server_tls if kind in ("tls", "tunnel") else None))
        if kind == "tunnel":
            arguments["proxy"] = stack.enter_context(Server(http_proxy)).url
        yield Place(kind, server, arguments)


def test_no_slot_is_lost_by_pool_timeouts(wire: Make, place: Place) -> None:
    if place.kind == "http2":
        pytest.skip("requests of HTTP/2 do not wait for a connection")
    chance, timeouts = random.Random(1), 0
    ours = wire(**place.arguments)
    while timeouts < place.many:
        timeout = httpx.Timeout(5, pool=chance.uniform(0, 0.01))
        results = ours.together(CROWD, place.url, timeout=timeout)
        assert {type(result) for result in results} <= {int, httpx.PoolTimeout}
        timeouts += len(results) - results.count(200)
    assert all_slots_work(ours, place.server)
    assert nothing_is_left(ours)


@pytest.mark.parametrize("colour", ["asyncio", "trio", "aiohttp"])
def test_no_slot_is_lost_by_cancellations(colour: str, place: Place) -> None:
    if colour == "aiohttp" and place.kind == "http2":
        pytest.skip("aiohttp has no HTTP/2")
    chance, cancelled = random.Random(2), 0
    with Wire(colour, **place.arguments) as wire:
        while cancelled < place.many:
            cancelled += wire.run(cancel_at_random, wire, place, chance)
        assert all_slots_work(wire, place.server)
        assert nothing_is_left(wire)


def nothing_is_left(wire: Wire) -> bool:
    """Whether the pool has forgotten all requests."""
    idle_only = wire.transport.connections()[0] == 0
    return idle_only and (wire.colour == "aiohttp" or "Requests: 0 active, 0 queued" in repr(wire.transport._pool))


async def cancel_at_random(wire: Wire, place: Place, chance: random.Random) -> int:
    """Send a crowd of requests, each with a moment to be cancelled at; how many were."""
    cancelled = 0

    async def one() -> None:
        nonlocal cancelled
        try:
            async with end_after(chance.uniform(0, 0.03), native=wire.colour != "trio" and chance.random() < 0.5):
                await wire.client.get(place.url, timeout=None)
        except TimeoutError:
            cancelled += 1
        except httpx.TransportError:
            assert place.kind == "http2"  # cancelled in the middle of a write, one request takes the others along

    async with anyio.create_task_group() as tasks:
        for _ in range(CROWD):
            tasks.start_soon(one)
    return cancelled


@asynccontextmanager
async def end_after(seconds: float, *, native: bool) -> AsyncIterator[None]:
    """Cancel the block by asyncio's own means, or by anyio's, which differ in when they strike."""
    if native:
        async with asyncio.timeout(seconds):
            yield
    else:
        with anyio.fail_after(seconds):
            yield
