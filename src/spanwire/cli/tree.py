"""The decision tree of one call, for a person: what happened when and why, with a time line to see it at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ..decisions import Decision, Severity
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
            yield Row(at, None, _decided(decision), tuple(words.evidence(decision)))

    def _attempt(self, attempt: dict[str, Any]) -> Row:
        code, number, kind = attempt["status"], attempt["number"], attempt["kind"]
        style = "red" if code is None or code >= 500 else "yellow" if code >= 400 else "green"
        text = Text.assemble((f"attempt {number}", "bold"), "" if kind == "primary" else f" ({kind})", " → ")
        text.append(
            words.status(code) if code else attempt["error"] or ("cut off" if self._report["outcome"] else "under way"),
            style,
        )
        notes = [f"at {attempt['endpoint']}"] if attempt["endpoint"] else []
        notes += [f"connecting took {words.seconds(attempt['connect'])}"] if attempt["connect"] else []
        notes += (
            [f"waited {words.seconds(attempt['pool_wait'])} for a connection"] if attempt["pool_wait"] >= 0.001 else []
        )
        return Row(attempt["at"], attempt["at"] + attempt["duration"], text, tuple(notes), style)

    # -- how it is drawn -----------------------------------------------------------------------------------------------

    def _head(self) -> Iterator[Text]:
        outcome, count = self._report["outcome"] or "under way", len(self._report["attempts"])
        style = OUTCOMES.get(outcome, "")
        yield Text.assemble(
            (f"{_MARKS.get(outcome, '✘')} ", f"bold {style}"),
            (f"{self._report['method']} ", "bold"),
            self._report["url"],
        )
        ended = f"{outcome} ({self._report['error']})" if self._report["error"] else outcome
        yield Text.assemble(
            "  ", (ended, f"bold {style}"), f" after {words.plural(count, 'attempt')} in {words.seconds(self._total)}"
        )

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
        spent = sorted(
            ((spent, name) for name, spent in self._report["phases"].items() if spent >= 0.0005), reverse=True
        )
        if spent:
            yield _fact(
                "time", " · ".join(f"{name.replace('_', ' ')} {words.seconds(seconds)}" for seconds, name in spent)
            )
        yield _fact("trace", self._report["trace_id"] or "none: no OpenTelemetry SDK is at work")


def _decided(decision: Decision) -> Text:
    text = Text(words.title(decision), _SEVERITIES.get(decision.severity, "blue"))
    return text if decision.enforced else text.append(" (only observed)", "dim")


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
