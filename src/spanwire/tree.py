"""A report drawn as a tree of lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SHOWN = 6
"""Pieces of evidence on a line; the rest stands in the trace and in `Report.as_dict()`."""


def drawn(report: dict[str, Any]) -> str:
    """The tree of one call: attempts and decisions in the order in which they happened."""
    rows = sorted([*_attempts(report), *_decisions(report)], key=lambda row: row[0])
    lines = [f"{'└─' if row is rows[-1] else '├─'} {at:7.3f}s  {text}" for row in rows for at, text in [row]]
    return "\n".join([_head(report), *lines, *_foot(report)])


def _head(report: dict[str, Any]) -> str:
    count = len(report["attempts"])
    ended = f"{report['outcome'] or 'under way'}{' ' + report['error'] if report['error'] else ''}"
    tried = f"{count} attempt{'s' if count != 1 else ''}"
    return f"call {report['method']} {report['url']}  {ended} in {report['duration']:.3f} s, {tried}"


def _attempts(report: dict[str, Any]) -> Iterator[tuple[float, str]]:
    for attempt in report["attempts"]:
        extras = [f"{attempt['duration'] * 1000:.1f} ms"]
        if attempt["connect"]:
            extras.append(f"connected in {attempt['connect'] * 1000:.1f} ms")
        if attempt["pool_wait"] >= 0.001:
            extras.append(f"waited {attempt['pool_wait'] * 1000:.1f} ms for a connection")
        ended = attempt["status"] or attempt["error"] or "under way"
        where = f" at {attempt['endpoint']}" if attempt["endpoint"] else ""
        yield attempt["at"], f"attempt {attempt['number']} ({attempt['kind']}){where} → {ended}  {', '.join(extras)}"


def _decisions(report: dict[str, Any]) -> Iterator[tuple[float, str]]:
    for decision in report["decisions"]:
        evidence = {
            key.rsplit(".", 1)[-1]: value
            for key, value in decision.items()
            if key not in ("at", "name", "spanwire.reason")
        }
        reason = decision.get("spanwire.reason")
        shown = [f"{key} {_value(value)}" for key, value in list(evidence.items())[:_SHOWN]]
        name = decision["name"].removeprefix("spanwire.").replace(".", " ").replace("_", " ")
        yield decision["at"], f"{name}{f': {reason}' if reason else ''}{_bracketed(shown)}"


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _foot(report: dict[str, Any]) -> Iterator[str]:
    spent = sorted(((seconds, name) for name, seconds in report["phases"].items() if seconds >= 0.0005), reverse=True)
    if spent:
        yield "   time: " + ", ".join(f"{name} {seconds * 1000:.1f} ms" for seconds, name in spent)
    if report["trace_id"]:
        yield f"   trace: {report['trace_id']}"


def _bracketed(shown: list[str]) -> str:
    return f"  ({', '.join(shown)})" if shown else ""
