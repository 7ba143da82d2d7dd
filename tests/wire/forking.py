"""The program of test_fork: a request, a fork, a request of the child, and another of the parent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from spanwire.wire import async_wire, sync_wire


async def awaited(client: httpx.AsyncClient, url: str) -> int:
    return (await client.get(url)).status_code


def main(colour: str, url: str) -> None:
    transport: Any
    get: Callable[[], int]
    if colour == "sync":
        transport = sync_wire()
        client: Any = httpx.Client(transport=transport, trust_env=False)
        get = lambda: client.get(url).status_code  # noqa: E731
        close: Callable[[], Any] = client.close
    else:
        transport = async_wire("httpcore2" if colour == "asyncio" else colour)
        client = httpx.AsyncClient(transport=transport, trust_env=False)
        loop = asyncio.new_event_loop()
        get = lambda: loop.run_until_complete(awaited(client, url))  # noqa: E731
        close = lambda: loop.run_until_complete(client.aclose())  # noqa: E731
    print("parent", get(), flush=True)
    child = os.fork()
    if child == 0:
        inherited = transport.connections()
        if colour != "sync":
            loop = asyncio.new_event_loop()
        print("child", get(), "inherited", inherited, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    kept = transport.connections()
    print("parent", get(), "kept", kept, flush=True)
    close()


if __name__ == "__main__":
    main(*sys.argv[1:])
