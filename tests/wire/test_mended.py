"""What httpcore2 forgets, and our wire does not. Each story is told twice: of httpcore2's pool as it is, and of ours.

When a story of the plain pool fails, httpcore2 has mended it: what mends it in `spanwire.wire.connecting` can go.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpcore2
import httpx
import pytest

from spanwire.wire import AsyncHTTPCore2Transport
from spanwire.wire.arguments import pool_arguments
from tests.wire.http2 import http2
from tests.wire.origins import Server, http1
from tests.wire.proxies import http_proxy

ONE = httpx.Limits(max_connections=1, keepalive_expiry=None)
Story = Callable[[httpx.AsyncClient], Awaitable[Any]]


class Plain(AsyncHTTPCore2Transport):
    """Our transport over httpcore2's own pool."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        given: Any = arguments
        self._pool: Any = httpcore2.AsyncConnectionPool(**pool_arguments(given))


TOLD_OF = pytest.mark.parametrize(("transport", "mended"), [(Plain, False), (AsyncHTTPCore2Transport, True)])
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def secure(server_tls: ssl.SSLContext) -> Iterator[Server]:
    with Server(http1, tls=server_tls) as server:
        yield server


@pytest.fixture
def multiplexed(h2_tls: ssl.SSLContext) -> Iterator[Server]:
    with Server(http2, tls=h2_tls) as server:
        yield server


@pytest.fixture(autouse=True)
def _forgotten_sockets() -> Iterator[None]:
    """The plain pool leaves sockets to the garbage collector, which complains."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        yield
        gc.collect()


def tell(story: Story, transport: httpx.AsyncBaseTransport, backend: str = "asyncio") -> Any:
    async def told() -> Any:
        async with httpx.AsyncClient(transport=transport, timeout=0.5, trust_env=False) as client:
            return await story(client)

    return anyio.run(told, backend=backend)


async def works(client: httpx.AsyncClient, url: str) -> bool:
    """Whether the one slot still serves."""
    try:
        return (await client.get(url)).status_code == 200
    except httpx.PoolTimeout:
        return False


async def nothing() -> None:
    pass


def cancelled_at(event: str, url: str, before: Callable[[], Awaitable[None]] = nothing) -> Story:
    """A request that is cancelled at a certain event of its making, after something else."""

    async def send(client: httpx.AsyncClient) -> None:
        with anyio.CancelScope() as scope:

            async def trace(name: str, _info: object) -> None:
                if name == event:
                    await before()
                    scope.cancel()

            await client.get(url, extensions={"trace": trace})

    return send


@TOLD_OF
@BACKENDS
def test_a_slot_whose_request_was_cancelled_between_connecting_and_sending(
    origin: Server, transport: type[AsyncHTTPCore2Transport], mended: bool, backend: str
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        await cancelled_at("connection.connect_tcp.complete", origin.url)(client)
        return await works(client, origin.url)

    assert tell(story, transport(limits=ONE), backend) is mended


@TOLD_OF
def test_a_slot_whose_tunnel_had_a_bad_certificate_behind_it(
    origin: Server, secure: Server, transport: type[AsyncHTTPCore2Transport], mended: bool
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        with pytest.raises(httpx.ConnectError):
            await client.get(secure.url)
        return await works(client, origin.url)

    with Server(http_proxy) as proxy:
        assert tell(story, transport(limits=ONE, proxy=proxy.url)) is mended


@TOLD_OF
def test_a_slot_whose_http2_connection_was_lost(
    multiplexed: Server, trust: ssl.SSLContext, transport: type[AsyncHTTPCore2Transport], mended: bool
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(multiplexed.url + "/hang-up")
        return await works(client, multiplexed.url)

    assert tell(story, transport(limits=ONE, http2=True, verify=trust)) is mended


@TOLD_OF
@BACKENDS
def test_an_http2_connection_whose_first_request_was_cancelled_while_it_was_opened(
    multiplexed: Server, trust: ssl.SSLContext, transport: type[AsyncHTTPCore2Transport], mended: bool, backend: str
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        await cancelled_at("http2.send_connection_init.complete", multiplexed.url)(client)
        try:
            return await works(client, multiplexed.url)
        except ValueError:  # semaphore released too many times
            return False

    assert tell(story, transport(limits=ONE, http2=True, verify=trust), backend) is mended


@TOLD_OF
@BACKENDS
def test_a_connection_made_after_another_request_was_cancelled_in_making_it(
    multiplexed: Server, trust: ssl.SSLContext, transport: type[AsyncHTTPCore2Transport], mended: bool, backend: str
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        async def follow() -> None:
            tasks.start_soon(client.get, multiplexed.url)
            await anyio.wait_all_tasks_blocked()

        async with anyio.create_task_group() as tasks:
            await cancelled_at("connection.start_tls.started", multiplexed.url, follow)(client)
        return kept.connections() == (0, 1)

    kept = transport(limits=ONE, http2=True, verify=trust)
    assert tell(story, kept, backend) is mended


@TOLD_OF
@BACKENDS
def test_a_request_that_waited_for_an_http2_connection_whose_opening_was_cancelled(
    multiplexed: Server, trust: ssl.SSLContext, transport: type[AsyncHTTPCore2Transport], mended: bool, backend: str
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        answered = []

        async def wait() -> None:
            with suppress(httpx.RemoteProtocolError):
                answered.append(await client.get(multiplexed.url))

        async def follow() -> None:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()

        async with anyio.create_task_group() as tasks:
            await cancelled_at("http2.send_connection_init.started", multiplexed.url, follow)(client)
        return bool(answered)

    assert tell(story, transport(limits=ONE, http2=True, verify=trust), backend) is mended


@TOLD_OF
def test_a_response_whose_closing_was_cancelled_by_asyncio_itself(
    origin: Server, transport: type[AsyncHTTPCore2Transport], mended: bool
) -> None:
    async def story(client: httpx.AsyncClient) -> bool:
        response = await told.handle_async_request(client.build_request("GET", origin.url + "/drip"))
        stream: Any = response.stream
        closing = asyncio.create_task(stream.aclose() if mended else stream._stream.aclose())
        await anyio.lowlevel.checkpoint()  # as far as the closing of the socket
        closing.cancel()
        await asyncio.wait([closing])
        return "Requests: 0 active" in repr(told._pool)

    told: Any = transport()
    assert tell(story, told) is mended


@BACKENDS
def test_a_tls_handshake_that_was_cancelled_leaves_no_socket_open(
    secure: Server, trust: ssl.SSLContext, backend: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await cancelled_at("connection.start_tls.started", secure.url)(client)

    with warnings.catch_warnings(action="error", category=ResourceWarning):
        tell(story, AsyncHTTPCore2Transport(verify=trust), backend)
        gc.collect()
