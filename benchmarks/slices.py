"""A slice: so many calls of one contender in a row, in sync or on an event loop, and what they cost.

CPU time is the whole process's, threads of the SDK included, and the export of a slice's own spans is in it; wall time
is what the caller waited and leaves that export out.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from time import perf_counter, process_time
from typing import Any, TypeVar

from contenders import Contender, Player, Stage
from origin import BODY

T = TypeVar("T")


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
        gc.collect()
        cpu, wall = process_time(), perf_counter()
        if self._loop is None:
            self._sync(player, calls)
        else:
            self._await(self._async(player, calls))
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

    def _sync(self, player: Player, calls: int) -> None:
        get, url = player.get, self.url
        for _ in range(calls):
            expect(get(url))

    async def _async(self, player: Player, calls: int) -> None:
        """Each of the concurrent callers makes its share of the calls, one after the other."""
        get, url = player.get, self.url

        async def caller() -> None:
            for _ in range(calls // self.concurrency):
                expect(await get(url))

        await (caller() if self.concurrency == 1 else asyncio.gather(*(caller() for _ in range(self.concurrency))))


def expect(response: Any) -> None:
    """Raise RuntimeError unless it is the answer: a fast failure is no result."""
    if response.status_code != 200 or response.content != BODY:
        raise RuntimeError(f"answered {response.status_code} with {len(response.content)} bytes")
