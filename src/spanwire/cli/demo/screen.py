"""The demo's screen: what the origin does, what callers notice of it, and what was decided in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ...decisions import Severity
from .. import words
from . import chart
from .gauges import AVAILABLE, CAPACITY, SHOWN, Gauges, total
from .load import TASKS, THREADS, Callers
from .watch import SLICES, Board, Tally, Told

_LABEL = 8
_TALL = 34
"""Lines of a terminal from which the charts are higher."""
STATES = {"closed": "green", "open": "red", "half_open": "yellow", "forced_open": "magenta", "disabled": "dim"}
_SEVERITIES = {Severity.WARN: "yellow", Severity.ERROR: "red"}
_LEGEND = {"green": "fine", "yellow": "some fail", "red": "many fail", "magenta": "refused"}
_FIGURES = {"calls": "", "success": "green", "failure": "red", "rejected": "magenta", "retries": "cyan"}
_WHO = {"sync": THREADS, "async": TASKS}


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
        table = 2 + len(self.callers.clients)
        left = height - len(above) - table - len(below) - 1
        yield Group(*above, self._clients(values), Text(), *self._decisions(max(left, 2), width), *below)

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
            legend.append("■ ", style).append(f"{meaning}  ")
        yield legend

    def _charts(self, width: int, height: int) -> Iterator[Text]:
        """The time line: one strip for the origin, one for each client, and the names of the phases."""
        room, board = width - _LABEL, self.board
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

    # -- what callers notice -------------------------------------------------------------------------------------------

    def _clients(self, values: dict[tuple[str, str], float]) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim", pad_edge=False)
        table.add_column("client", no_wrap=True, ratio=1)
        for name in ("calls", "ok", "failed", "refused", "retries"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("breaker", no_wrap=True, width=11)
        table.add_column("budget", no_wrap=True, width=9)
        for name in ("p50", "p95"):
            table.add_column(name, justify="right", no_wrap=True, width=6)
        for name, client in self.callers.clients.items():
            state = str(client.circuit_breakers[self.origin].state)
            table.add_row(*self._row(name), _breaker(state), _budget(values, f"demo-{name}"), *self._percentiles(name))
        return table

    def _row(self, name: str) -> list[RenderableType]:
        with self.board.lock:
            tally = self.board.totals[name].copy()
        named = Text.assemble((name, "bold"), (f" {words.TIMES}{_WHO[name]}", "dim"))
        return [named, *(Text(f"{tally[kind]}", style if tally[kind] else "dim") for kind, style in _FIGURES.items())]

    def _percentiles(self, name: str) -> list[Text]:
        found = (self.board.percentile(name, share) for share in (0.5, 0.95))
        return [Text(words.NOTHING if value is None else words.seconds(value)) for value in found]

    # -- what was decided ----------------------------------------------------------------------------------------------

    def _decisions(self, count: int, width: int) -> Iterator[Text]:
        with self.board.lock:
            latest = list(self.board.told)[-count + 1 :]
        yield Text("decisions, the same ones of a phase together", "dim")
        yield from (told_line(told, width) for told in latest)
        yield from (Text() for _ in range(count - 1 - len(latest)))

    def _metrics(self, values: dict[tuple[str, str], float], width: int) -> Iterator[Text]:
        shown = [(name, total(values, key)) for key, name in SHOWN.items()]
        for label, pair in (("metrics", shown[::2]), ("", shown[1::2])):
            line = Text(f"{label:<{_LABEL}}", "dim")
            for name, value in pair:
                line.append(f"{name} ", "dim").append(f"{value:<{27 - len(name)}}", "bold")
            line.truncate(width, overflow="ellipsis")
            yield line
        page = Text(f"{'':{_LABEL}}spanwire_* at ", "dim").append(self.page, "not dim cyan underline")
        yield page.append("   Ctrl-C ends the demo", "dim")


def told_line(told: Told, width: int) -> Text:
    """A decision in one line: when it was first taken, by whom, how often, and the evidence of the last time."""
    times = f"{words.TIMES}{told.times}" if told.times > 1 else ""
    style = _SEVERITIES.get(told.decision.severity, "")
    line = Text.assemble((f"{told.at:5.1f} s  ", "dim"), f"{told.client:<6}", (f"{times:>5}  ", "bold"))
    line.append(told.title, style).append(f"  {' · '.join(words.evidence(told.decision))}", "dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _breaker(state: str) -> Text:
    return Text.assemble(("● ", STATES[state]), (state.replace("_", " "), STATES[state]))


def _budget(values: dict[tuple[str, str], float], client: str) -> Text:
    """How full the retry budget is, and its tokens."""
    available, capacity = values.get((AVAILABLE, client)), values.get((CAPACITY, client))
    if available is None or not capacity:
        return Text(words.NOTHING)
    share = available / capacity
    cells, style = round(share * 5), "green" if share > 0.5 else "yellow" if share > 0.1 else "red"
    return Text.assemble(("█" * cells, style), ("░" * (5 - cells), "dim"), f" {available:.0f}")
