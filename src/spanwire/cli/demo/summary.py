"""The end of the demo: what the origin did, what callers noticed, one call in full, and where to go from here."""

from __future__ import annotations

import os
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import words
from ..record import Story
from ..tree import Tree
from .watch import Board, Tally


def summary(board: Board) -> Group:
    """Everything that is printed at the end."""
    return Group(*_parts(board))


def _parts(board: Board) -> Iterator[RenderableType]:
    phases = [sum(tallies, Tally()) for tallies in zip(*board.phases.values(), strict=True)]
    whole = sum(phases, Tally())
    yield _table(board, phases, whole)
    yield Text()
    yield _moral(whole)
    story = best(board)
    if story is not None:
        yield Text("\nOne of these calls, as it was decided:\n", "bold")
        yield Tree(story)
    yield Text("\nWhat next:\n", "bold")
    yield from _next()


def _table(board: Board, phases: list[Tally], whole: Tally) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("phase")
    for name in ("requests", "origin failed", "calls", "callers failed", "refused", "retries"):
        table.add_column(name, justify="right")
    for phase, tally in zip(board.script.phases, phases, strict=True):
        if tally["calls"]:
            table.add_row(phase.name, *_figures(tally))
    table.add_row(Text("all", "bold"), *_figures(whole), style="bold")
    return table


def _figures(tally: Tally) -> list[str | Text]:
    return [
        f"{tally['attempts']:,}", _share(tally["failed_attempts"], tally["attempts"]), f"{tally['calls']:,}",
        _share(tally["failure"], tally["calls"]), f"{tally['rejected']:,}", f"{tally['retries']:,}",
    ]  # fmt: skip


def _share(part: int, whole: int) -> Text:
    share = part / whole if whole else 0.0
    return Text(
        _percent(part, whole) if part else words.NOTHING,
        "green" if share < 0.02 else "yellow" if share < 0.2 else "red",
    )


def _moral(whole: Tally) -> Text:
    """What all that was good for."""
    text = Text("The origin failed ").append(_percent(whole["failed_attempts"], whole["attempts"]), "bold red")
    text.append(f" of {whole['attempts']:,} requests. Of {whole['calls']:,} calls, ")
    text.append(_percent(whole["failure"], whole["calls"]), "bold green").append(" failed for their callers")
    if whole["rejected"]:
        refused = _percent(whole["rejected"], whole["calls"])
        text.append(", and ").append(refused, "bold magenta").append(" were refused at once by an open breaker")
    return text.append(".")


def _percent(part: int, whole: int) -> str:
    """`0.4%`, `12%`."""
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def best(board: Board) -> Story | None:
    """The most telling call: one that succeeded after all, else one that was refused or failed."""
    found = [board.best[outcome] for outcome in ("success", "rejected", "failure") if outcome in board.best]
    told = [story for _, story in found if len(story.report.attempts) > 1]
    return told[0] if told else found[-1][1] if found else None


def _next() -> Iterator[Text]:
    tips = [("spanwire get https://example.com/", "such a tree for any URL")]
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        tips.append(
            ("OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 spanwire demo", "the same, traced in your collector")
        )
    tips.append(("spanwire demo --duration 600", "long enough to scrape it with Prometheus"))
    tips.append(("spanwire.Client(policy=spanwire.Policy())", "the same in your code, in place of httpx.Client()"))
    for command, gain in tips:
        yield Text.assemble("  ", (command, "cyan"), ("\n      ", ""), (gain, "dim"))
