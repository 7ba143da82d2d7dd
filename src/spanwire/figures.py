"""The figures of one client, for people: `client.metrics()`."""

from __future__ import annotations

from typing import Any

from .decisions import METRICS
from .ledger import Account


def figures(account: Account) -> dict[str, Any]:
    """Requests with their outcomes, mean duration in seconds, time by phase, and every counter of the ledger."""
    by_outcome = _by(account, "spanwire.call.attempts", "outcome")
    total = sum(by_outcome.values())
    failed = by_outcome.get("failure", 0) + by_outcome.get("rejected", 0)
    phases = _by(account, "spanwire.call.phase.time", "phase")
    return {
        "client": account.client,
        "requests": {
            "total": int(total),
            "successful": int(total - failed - by_outcome.get("cancelled", 0)),
            "failed": int(failed),
            "success_rate": (total - failed) / total if total else None,
            "outcomes": {outcome: int(count) for outcome, count in by_outcome.items() if count},
        },
        "duration": {"mean": sum(phases.values()) / total if total else None, "phases": phases},
        "counters": dict(sorted(_counters(account).items())),
    }


def _by(account: Account, name: str, label: str) -> dict[str, float]:
    metric = METRICS[name]
    place = [attribute.key.rsplit(".", 1)[-1] for attribute in metric.attributes].index(label)
    found: dict[str, float] = {}
    for labels, cell in list(account.cells.get(metric, {}).items()):
        found[labels[place]] = found.get(labels[place], 0) + cell.value
    return found


def _counters(account: Account) -> dict[str, list[dict[str, Any]]]:
    """Every series of every counter, with its labels."""
    found: dict[str, list[dict[str, Any]]] = {}
    for metric, value, labels in account.sums():
        keys = (attribute.key for attribute in metric.attributes)
        found.setdefault(metric.name, []).append({**dict(zip(keys, labels, strict=True)), "value": value})
    return found
