"""One interleaved run: in each round every contender makes its slice of calls, in an order drawn for that round.

Whatever the machine does to one slice it soon does to the next one, so figures are compared within their round. The
garbage collector stays on, as in a service, for telemetry pays for what it allocates; the heap that setting up left is
frozen, and each slice starts from a collected one, so that nobody pays for another contender's garbage.
"""

from __future__ import annotations

import gc
import random
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import origin
from contenders import Contender, Player, Stage
from slices import Slices

WARM_UP = 300
MOCK_URL = "http://origin.test/invoices"


@dataclass(frozen=True)
class Section:
    """One table: who plays, where, and how many calls are under way at once."""

    title: str
    stage: Stage
    contenders: Sequence[Contender]
    concurrency: int = 1


@dataclass
class Row:
    """What one contender cost in each round, in seconds per call; or why it has no figures."""

    contender: Contender
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    failure: str = ""
    player: Player | None = None

    def fail(self, error: BaseException) -> None:
        """Leave the run. The message goes into the results, so no path of the machine may stand in it."""
        message = re.sub(r"\s*\(?(/[\w.@-]+)+\)?", "", f"{type(error).__name__}: {error}".splitlines()[0])
        self.failure = message.replace("|", "/")[:160]


@dataclass
class Table:
    """A section that has been run."""

    section: Section
    rows: dict[str, Row]
    calls: int
    rounds: int
    origin: origin.Origin | None = None


def run(section: Section, rounds: int, calls: int, draw: random.Random) -> Table:
    """Open everyone, warm up, measure in turns, close."""
    calls = -(-calls // section.concurrency) * section.concurrency
    rows = {one.name: Row(one) for one in section.contenders}
    table = Table(section, rows, calls, rounds)
    with ExitStack() as stack:
        table.origin = None if section.stage.mock else stack.enter_context(origin.running())
        slices = Slices(section.stage, table.origin.url if table.origin else MOCK_URL, section.concurrency)
        stack.callback(slices.close)
        for row in rows.values():
            open_row(row, slices, stack)
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        for number in range(rounds):
            tell(section.title, number + 1, rounds)
            play(list(rows.values()), slices, calls, draw)
    return table


def play(rows: list[Row], slices: Slices, calls: int, draw: random.Random) -> None:
    """One round. A contender that fails is out, the others go on."""
    for row in draw.sample(rows, len(rows)):
        if not row.player or row.failure:
            continue
        try:
            cpu, wall = slices.measure(row.player, calls)
        except Exception as error:
            row.fail(error)
        else:
            row.cpu.append(cpu)
            row.wall.append(wall)


def open_row(row: Row, slices: Slices, stack: ExitStack) -> None:
    """Open a contender, warm it up, and see that it is what it says."""
    try:
        row.player = slices.open(row.contender)
        stack.callback(end, row, slices)
        slices.measure(row.player, WARM_UP)
        verify(row)
    except Exception as error:
        row.fail(error)


def verify(row: Row) -> None:
    """Raise RuntimeError when the warm-up has not exported what each call of this contender has to."""
    sdk = row.player.sdk if row.player else None
    expected = (WARM_UP * row.contender.spans, WARM_UP * row.contender.durations)
    told = (sdk.spans(), sdk.durations()) if sdk else (0, 0)
    if told != expected:
        raise RuntimeError(f"exported {told} spans and durations in {WARM_UP} calls, not {expected}")


def end(row: Row, slices: Slices) -> None:
    """Close a contender; how it ends is not what is measured, so a failure is only told."""
    try:
        assert row.player
        slices.end(row.player)
    except Exception as error:
        print(f"{row.contender.name} failed to close: {error!r}", file=sys.stderr)


def tell(title: str, number: int, rounds: int) -> None:
    """Progress, on standard error."""
    if sys.stderr.isatty() or number == rounds:
        print(
            f"\r{title}: round {number} of {rounds}", end="\n" if number == rounds else "", file=sys.stderr, flush=True
        )
