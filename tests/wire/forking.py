"""The program of test_fork: a request, a fork, a request of the child, and another of the parent."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx

from spanwire.wire import async_wire, sync_wire


class Caller:
    """A client of a colour, on an event loop of its own where it needs one."""

    def __init__(self, colour: str) -> None:
        self.loop = None if colour == "sync" else asyncio.new_event_loop()
        name = "aiohttp" if colour == "aiohttp" else "httpcore2"
        self.transport: Any = async_wire(name) if self.loop else sync_wire(name)
        client: Any = httpx.AsyncClient if self.loop else httpx.Client
        self.client = client(transport=self.transport, trust_env=False)

    def run(self, result: Any) -> Any:
        return self.loop.run_until_complete(result) if self.loop else result

    def call(self, who: str, url: str) -> None:
        counted = self.transport.connections()
        status = self.run(self.client.get(url)).status_code
        sys.stdout.write(f"{who} {counted} {status}\n")
        sys.stdout.flush()


def main(colour: str, url: str) -> None:
    caller = Caller(colour)
    caller.call("parent", url)
    child = os.fork()
    if child == 0:
        caller.loop = asyncio.new_event_loop() if caller.loop else None
        caller.call("child", url)
        os._exit(0)
    os.waitpid(child, 0)
    caller.call("parent", url)
    caller.run(caller.client.aclose() if caller.loop else caller.client.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
