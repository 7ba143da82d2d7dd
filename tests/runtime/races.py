"""Races of runners that do as they are told."""

from __future__ import annotations

from tests.testing.colours import Colour

AT_ONCE, LATER = 0.0, 30.0


class Value:
    """What a runner comes to; discarded or not."""

    def __init__(self, name: str, good: bool = True) -> None:
        self.name, self.good = name, good
        self.discarded = 0

    def __repr__(self) -> str:
        return self.name


class Race:
    """A race of runners that each come to a value, raise an error, or wait until they are cut off (None)."""

    def __init__(self, colour: Colour, *ends: Value | Exception | None) -> None:
        self.colour, self.ends = colour, ends
        self.io = colour.runtime()
        self.started: list[int] = []
        self.cut_off: list[int] = []

    async def runner(self, index: int) -> Value:
        self.started.append(index)
        end = self.ends[index]
        if end is None:
            try:
                await self.io.sleep(30)
            finally:
                self.cut_off.append(index)
        if isinstance(end, Exception):
            raise end
        assert end
        return end

    async def discard(self, value: Value) -> None:
        value.discarded += 1

    def acceptable(self, value: Value) -> bool:
        return value.good

    async def run(self, delay: float = AT_ONCE) -> Value:
        extra = len(self.ends) - 1
        found: Value = await self.io.race(self.runner, delay, extra, self.acceptable, self.discard)
        return found

    def result(self, delay: float = AT_ONCE) -> Value:
        found: Value = self.colour.run(self.run(delay))
        return found

    def all_discarded(self, *, but: Value | None = None) -> bool:
        values = [end for end in self.ends if isinstance(end, Value)]
        return all(value.discarded == (value is not but) for value in values)
