"""The decision tree of one call, for a person: what happened when and why, with a time line to see it at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ..decisions import Severity
from . import words
from .record import Story

OUTCOMES = {
    "success": "green",
    "cached": "green",
    "fallback": "yellow",
    "rejected": "magenta",
    "failure": "red",
    "cancelled": "dim",
}
_SEVERITIES = {Severity.WARN: "yellow", Severity.ERROR: "red"}
_MARKS = {"success": "✔", "cached": "✔", "fallback": "↩", "cancelled": words.NOTHING}
_NARROW, _OFFSET, _TOOK = 76, 8, 9


class Row(NamedTuple):
    """A line of the tree; `end` is None for what takes no time."""

    start: float
    end: float | None
    text: Text
    evidence: tuple[str, ...] = ()
    style: str = ""


class Tree:
    """Draws a story with rich."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._report = story.report.as_dict()
        self._total = max(story.report.duration, 1e-6)
        self._rows = sorted(self._found(), key=lambda row: row.start)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        bar = 0 if width < _NARROW else min(36, max(10, width - 66))
        yield from self._head()
        yield Text()
        for row in self._rows:
            yield from self._drawn(row, width, bar)
        yield Text()
        yield from self._foot()

    # -- what there is to draw ---------------------------------------------------------------------------------------

    def _found(self) -> Iterator[Row]:
        yield from map(self._attempt, self._report["attempts"])
        for wait in self._story.waits:
            yield Row(wait.start, wait.end, Text(f"wait {wait.kind.replace('_', ' ')}", "cyan"), style="cyan")
        for at, decision in self._story.decisions():
            style = _SEVERITIES.get(decision.severity, "blue")
            yield Row(at, None, Text(words.title(decision), style), tuple(words.evidence(decision)))

    def _attempt(self, attempt: dict[str, Any]) -> Row:
        code, number, kind = attempt["status"], attempt["number"], attempt["kind"]
        style = "red" if code is None or code >= 500 else "yellow" if code >= 400 else "green"
        text = Text.assemble((f"attempt {number}", "bold"), "" if kind == "primary" else f" ({kind})", " → ")
        open_ended = "cut off" if self._report["outcome"] else "under way"
        text.append(words.status(code) if code else attempt["error"] or open_ended, style)
        return Row(attempt["at"], attempt["at"] + attempt["duration"], text, tuple(_notes(attempt)), style)

    # -- how it is drawn -----------------------------------------------------------------------------------------------

    def _head(self) -> Iterator[Text]:
        outcome, count = self._report["outcome"] or "under way", len(self._report["attempts"])
        style = OUTCOMES.get(outcome, "")
        mark = Text(f"{_MARKS.get(outcome, '✘')} ", f"bold {style}")
        yield mark.append(f"{self._report['method']} ", "default").append(self._report["url"], "not bold default")
        ended = f"{outcome} ({self._report['error']})" if self._report["error"] else outcome
        took = f" after {words.plural(count, 'attempt')} in {words.seconds(self._total)}"
        yield Text.assemble("  ", (ended, f"bold {style}"), took)

    def _drawn(self, row: Row, width: int, bar: int) -> Iterator[Text]:
        last = row is self._rows[-1]
        line = Text.assemble(
            (f"{words.seconds(row.start):>{_OFFSET}} ", "dim"), ("└─ " if last else "├─ ", "dim"), row.text
        )
        if row.end is not None:
            line.truncate(width - _TOOK - bar - 2, overflow="ellipsis", pad=True)
            line.append(f"{words.seconds(row.end - row.start):>{_TOOK}}  ")
            line.append_text(self._bar(row, bar))
        yield line
        margin = f"{'':{_OFFSET}} {' ' if last else '│'}    "
        for piece in _folded(row.evidence, width - len(margin)):
            yield Text(margin + piece, "dim")

    def _bar(self, row: Row, bar: int) -> Text:
        """Where the row lies in the time of the call."""
        end = row.start if row.end is None else row.end
        first = min(int(row.start / self._total * bar), bar - 1)
        cells = max(1, min(round(end / self._total * bar), bar) - first)
        sign = "─" if row.style == "cyan" else "━"
        return Text.assemble((" " * first, ""), (sign * cells, row.style)) if bar else Text()

    def _foot(self) -> Iterator[Text]:
        spent = sorted(self._report["phases"].items(), key=lambda phase: -phase[1])
        shown = [f"{name.replace('_', ' ')} {words.seconds(took)}" for name, took in spent if took >= 0.0005]
        if shown:
            yield _fact("time", " · ".join(shown))
        yield _fact("trace", self._report["trace_id"] or "none: no OpenTelemetry SDK is at work")


def _notes(attempt: dict[str, Any]) -> Iterator[str]:
    """Where an attempt went, and what it waited for before it was sent."""
    if attempt["endpoint"]:
        yield f"at {attempt['endpoint']}"
    if attempt["connect"]:
        yield f"connecting took {words.seconds(attempt['connect'])}"
    if attempt["pool_wait"] >= 0.001:
        yield f"waited {words.seconds(attempt['pool_wait'])} for a connection"


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"{name:>{_OFFSET}} ", "dim"), value)


def _folded(pieces: tuple[str, ...], width: int) -> Iterator[str]:
    """Pieces joined by dots, as many to a line as fit."""
    line = ""
    for piece in pieces:
        if line and len(line) + 3 + len(piece) > width:
            yield line
            line = ""
        line = f"{line} · {piece}" if line else piece
    if line:
        yield line
