"""The table of what the callers notice: how their calls end, and how breaker and budget stand."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from .. import words
from .gauges import AVAILABLE, CAPACITY, Values
from .load import TASKS, THREADS
from .watch import Board

_STATES = {"closed": "green", "open": "red", "half_open": "yellow", "forced_open": "magenta", "disabled": "dim"}
_FIGURES = {
    "calls": ("calls", ""),
    "ok": ("success", "green"),
    "failed": ("failure", "red"),
    "refused": ("rejected", "magenta"),
    "retries": ("retries", "cyan"),
}
_WIDTHS = {"client": 8, "breaker": 11, "budget": 9, "p50": 6, "p95": 6}
_WHO = {"sync": THREADS, "async": TASKS}
_WIDE = 78
"""Columns of a terminal from which there is room for everything."""


def table(board: Board, states: dict[str, str], values: Values, width: int) -> Table:
    """A row for each client, whose breaker is in one of these states."""
    rows = [_row(board, name, state, values) for name, state in states.items()]
    made = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim", pad_edge=False)
    shown = [column for column in rows[0] if width >= _WIDE or column not in ("budget", "p50")]
    for column in shown:
        left = column in ("client", "breaker", "budget")
        made.add_column(column, "", justify="left" if left else "right", min_width=_WIDTHS.get(column), no_wrap=True)
    for row in rows:
        made.add_row(*(row[column] for column in shown))
    return made


def _row(board: Board, name: str, state: str, values: Values) -> dict[str, Text]:
    with board.lock:
        tally = board.totals[name].copy()
    figures = {
        column: Text(f"{tally[kind]}", style if tally[kind] else "dim") for column, (kind, style) in _FIGURES.items()
    }
    return {
        "client": Text(name, "bold").append(f" {words.TIMES}{_WHO[name]}", "not bold dim"),
        **figures,
        "breaker": Text(f"● {state.replace('_', ' ')}", _STATES[state]),
        "budget": _budget(values, f"demo-{name}"),
        "p50": _seconds(board.percentile(name, 0.5)),
        "p95": _seconds(board.percentile(name, 0.95)),
    }


def _seconds(value: float | None) -> Text:
    return Text(words.NOTHING if value is None else words.seconds(value))


def _budget(values: Values, client: str) -> Text:
    """How full the retry budget is, and its tokens."""
    available, capacity = values.get((AVAILABLE, client)), values.get((CAPACITY, client))
    if available is None or not capacity:
        return Text(words.NOTHING)
    share = available / capacity
    cells, style = round(share * 5), "green" if share > 0.5 else "yellow" if share > 0.1 else "red"
    return Text.assemble(("█" * cells, style), ("░" * (5 - cells), "dim"), f" {available:.0f}")
