"""The demo's screen: what the origin does, what callers notice of it, and what was decided in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from ...decisions import Severity
from .. import words
from . import chart
from .callers import table
from .gauges import SHOWN, Gauges, Values, total
from .load import Callers
from .watch import SLICES, Board, Tally, Told

_LABEL = 8
_TALL = 34
"""Lines of a terminal from which the charts are higher."""
_SEVERITIES = {Severity.WARN: "yellow", Severity.ERROR: "red"}
_LEGEND = {"green": "fine", "yellow": "some fail", "red": "many fail", "magenta": "refused"}


@dataclass
class Screen:
    """Draws the state of now each time it is printed, as high as the terminal is."""

    board: Board
    callers: Callers
    gauges: Gauges
    origin: str
    page: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        values = self.gauges.read()
        above = [*self._head(width), *self._charts(width, 3 if height >= _TALL else 1), Text()]
        below = [Text(), *self._metrics(values, width)]
        left = height - len(above) - len(below) - len(self.callers.clients) - 3
        clients = table(self.board, self.states(), values, width)
        yield Group(*above, clients, Text(), *self._decisions(max(left, 2), width), *below)

    def states(self) -> dict[str, str]:
        """The state of each client's breaker."""
        return {name: str(it.circuit_breakers[self.origin].state) for name, it in self.callers.clients.items()}

    # -- what the origin does ------------------------------------------------------------------------------------------

    def _head(self, width: int) -> Iterator[Text]:
        board = self.board
        now = min(board.clock() - board.script.began, board.script.duration)
        phase = board.script.phases[board.script.at(board.clock())[0]]
        clock = f"{now:4.1f} of {board.script.duration:g} s"
        line = Text.assemble(("spanwire demo  ", "bold"), (phase.name, "bold cyan"), f"  {phase.about}")
        line.truncate(width - len(clock) - 2, overflow="ellipsis", pad=True)
        yield line.append(f"  {clock}", "dim")
        legend = Text("requests and calls: ", "dim")
        for style, meaning in _LEGEND.items():
            legend.append("■ ", f"not dim {style}").append(f"{meaning}  ", "not dim")
        legend.truncate(width)
        yield legend

    def _charts(self, width: int, height: int) -> Iterator[Text]:
        """The time line: one strip for the origin, one for each client, and the names of the phases."""
        room, board = max(1, width - _LABEL), self.board
        now = board.clock()
        until = board.slice(now) * room // SLICES
        with board.lock:
            clients = {name: chart.columns(slices, room) for name, slices in board.slices.items()}
        everyone = [sum(tallies, Tally()) for tallies in zip(*clients.values(), strict=True)]
        strips = {"origin": chart.of_origin(everyone)} | {
            name: chart.of_callers(found) for name, found in clients.items()
        }
        for name, (counts, styles) in strips.items():
            for number, line in enumerate(chart.strip(counts, styles, height, until)):
                label = name if number == height - 1 else ""
                yield Text.assemble((f"{label:<{_LABEL}}", "bold" if name == "origin" else ""), line)
        yield Text(" " * _LABEL).append_text(chart.labels(board.script, room, board.script.at(now)[0]))

    # -- what was decided ----------------------------------------------------------------------------------------------

    def _decisions(self, count: int, width: int) -> Iterator[Text]:
        with self.board.lock:
            latest = list(self.board.told)[-count + 1 :]
        yield Text("decisions, the same ones of a phase together", "dim")
        yield from (told_line(told, width) for told in latest)
        yield from (Text() for _ in range(count - 1 - len(latest)))

    def _metrics(self, values: Values, width: int) -> Iterator[Text]:
        shown = [(name, total(values, key)) for key, name in SHOWN.items()]
        for label, pair in (("metrics", shown[::2]), ("", shown[1::2])):
            line = Text(f"{label:<{_LABEL}}", "dim")
            for name, value in pair:
                line.append(f"{name} ", "dim").append(f"{value:<{27 - len(name)}}", "bold")
            line.truncate(width, overflow="ellipsis")
            yield line
        page = Text(f"{'':{_LABEL}}spanwire_* at ", "dim").append(self.page, "not dim cyan underline")
        page.append("   Ctrl-C ends the demo", "dim").truncate(width, overflow="ellipsis")
        yield page


def told_line(told: Told, width: int) -> Text:
    """A decision in one line: when it was first taken, by whom, how often, and the evidence of the last time."""
    times = f"{words.TIMES}{told.times}" if told.times > 1 else ""
    style = _SEVERITIES.get(told.decision.severity, "")
    line = Text.assemble((f"{told.at:5.1f} s  ", "dim"), f"{told.client:<6}", (f"{times:>5}  ", "bold"))
    line.append(told.title, style).append(f"  {' · '.join(words.evidence(told.decision))}", "dim")
    line.truncate(width, overflow="ellipsis")
    return line
