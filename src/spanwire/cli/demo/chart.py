"""The time line of the demo: how much was asked, and how much of it failed, for the origin and for each client."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from .script import Script
from .watch import SLICES, Tally

_BLOCKS = " ▁▂▃▄▅▆▇█"
_FEW, _MANY = 0.02, 0.2
"""Shares of failures from which a column is yellow, and red."""


def columns(slices: Sequence[Tally], width: int) -> list[Tally]:
    """The slices, put together so that there are `width` of them."""
    made = [Tally() for _ in range(width)]
    for number, tally in enumerate(slices):
        made[number * width // SLICES].update(tally)
    return made


def strip(counts: Sequence[int], styles: Sequence[str], height: int, until: int) -> list[Text]:
    """Bars of `height` lines, the topmost first; columns after `until` are still to come."""
    top = max(1, *counts)
    lines = [Text() for _ in range(height)]
    for number, (count, style) in enumerate(zip(counts, styles, strict=True)):
        eighths = 0 if not count else max(1, round(count / top * height * 8))
        for line in range(height):
            left = eighths - (height - 1 - line) * 8
            to_come = line == height - 1 and number > until
            lines[line].append("·" if to_come else _BLOCKS[max(0, min(left, 8))], "dim" if to_come else style)
    return lines


def of_origin(tallies: Sequence[Tally]) -> tuple[list[int], list[str]]:
    """What the origin was asked, coloured by what it failed."""
    styles = [_style(tally["failed_attempts"], tally["attempts"]) for tally in tallies]
    return [tally["attempts"] for tally in tallies], styles


def of_callers(tallies: Sequence[Tally]) -> tuple[list[int], list[str]]:
    """What callers asked, coloured by what failed for them; magenta where most of that was refused."""
    styles = []
    for tally in tallies:
        bad = tally["failure"] + tally["rejected"]
        style = _style(bad, tally["calls"])
        styles.append("magenta" if style == "red" and tally["rejected"] > tally["failure"] else style)
    return [tally["calls"] for tally in tallies], styles


def _style(bad: int, of: int) -> str:
    share = bad / of if of else 0.0
    return "green" if share < _FEW else "yellow" if share < _MANY else "red"


def labels(script: Script, width: int, current: int) -> Text:
    """The names of the phases below the time line, the current one highlighted."""
    text, begin = Text(), 0
    for index, (phase, end) in enumerate(zip(script.phases, script.ends(), strict=True)):
        room = round(end * width) - begin
        name = phase.name[: max(0, room - 1)]
        text.append(name, "bold reverse" if index == current else "dim")
        text.append(" " * (room - len(name)))
        begin += room
    return text
