"""A slice: so many calls of one contender in a row, in sync or on an event loop, and what they cost.

CPU time is the whole process's, threads of the SDK included, and the export of a slice's own spans is in it; wall time
is what the caller waited and leaves that export out.

Every call of a process has a URL of its own, as `/invoices/10000042`: one URL for all would be answered from whatever
caches of URLs a contender or the standard library has, which is not what a service sees. `ONE_URL` is for comparing.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Coroutine, Sequence
from time import perf_counter, process_time
from typing import Any, TypeVar

from contenders import Contender, Player, Stage
from origin import BODY

T = TypeVar("T")
ONE_URL = False
_numbers = itertools.count(10_000_000)


class Slices:
    """Runs contenders on a stage; in async all of them share one event loop."""

    def __init__(self, stage: Stage, url: str, concurrency: int = 1) -> None:
        self.stage, self.url, self.concurrency = stage, url, concurrency
        self._loop = asyncio.new_event_loop() if stage.asynchronous else None

    def open(self, contender: Contender) -> Player:
        """Open a contender, on the loop, since some clients look for the running one when they are made."""
        if self._loop is None:
            return contender.open(self.stage)

        async def opening() -> Player:
            return contender.open(self.stage)

        return self._await(opening())

    def measure(self, player: Player, calls: int) -> tuple[float, float]:
        """CPU and wall seconds per call."""
        urls = self._urls(calls)
        gc.collect()
        cpu, wall = process_time(), perf_counter()
        if self._loop is None:
            self._sync(player, urls)
        else:
            self._await(self._async(player, urls))
        wall = perf_counter() - wall
        if player.sdk:
            player.sdk.flush()
        return (process_time() - cpu) / calls, wall / calls

    def end(self, player: Player) -> None:
        """Close a client and its telemetry."""
        if self._loop is None:
            player.close()
        else:
            self._await(player.close())
        if player.sdk:
            player.sdk.shutdown()

    def close(self) -> None:
        """End the event loop."""
        if self._loop:
            self._loop.close()

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._loop
        return self._loop.run_until_complete(coroutine)

    def _urls(self, calls: int) -> list[str]:
        return [f"{self.url}/{10_000_000 if ONE_URL else next(_numbers)}" for _ in range(calls)]

    def _sync(self, player: Player, urls: Sequence[str]) -> None:
        get = player.get
        for url in urls:
            expect(get(url))

    async def _async(self, player: Player, urls: Sequence[str]) -> None:
        """Each of the concurrent callers makes its share of the calls, one after the other."""
        get = player.get

        async def caller(share: Sequence[str]) -> None:
            for url in share:
                expect(await get(url))

        at_once = self.concurrency
        await (caller(urls) if at_once == 1 else asyncio.gather(*(caller(urls[n::at_once]) for n in range(at_once))))


def expect(response: Any) -> None:
    """Raise RuntimeError unless it is the answer: a fast failure is no result."""
    if response.status_code != 200 or response.content != BODY:
        raise RuntimeError(f"answered {response.status_code} with {len(response.content)} bytes")
