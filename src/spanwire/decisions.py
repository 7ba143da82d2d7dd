"""The vocabulary: what a decision is, and what is told of it.

Everything that the world sees is declared here or in a `decisions.py` of a policy.

Rules of this file:
1. A decision is a frozen dataclass. Its class attributes declare its event name, severity, whether it makes its call
   notable and which metrics it moves; its fields, annotated with an `Attribute`, declare what stands on the event.
2. A metric is declared once, by `counter`, `updown` or `histogram`. Whoever moves it holds the declaration.
3. From these declarations alone come events, metrics, the reference tables, the registry, dashboards and rules.
   Nothing here knows OpenTelemetry.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

Value = str | bool | int | float | tuple[str, ...]
Kind = Literal["counter", "updown", "histogram"]
Stability = Literal["development", "stable"]


class Severity(enum.IntEnum):
    """Severity numbers of the OpenTelemetry log data model."""

    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17


@dataclass(frozen=True, slots=True)
class Attribute:
    """One key of the vocabulary: on spans and events, and on metrics where `values` or `limit` bound it.

    `values` is its closed set; `limit` is the number of different values a client may have on its metrics before
    further ones are counted as `_other`.
    """

    key: str
    brief: str
    values: tuple[str, ...] = ()
    limit: int = 0
    unit: str = ""
    stability: Stability = "development"
    example: Value = ""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One instrument: `unit` in UCUM, `attributes` beyond the client's name, `buckets` for a histogram."""

    name: str
    kind: Kind
    unit: str
    brief: str
    attributes: tuple[Attribute, ...] = ()
    buckets: tuple[float, ...] = ()
    stability: Stability = "development"


METRICS: dict[str, Metric] = {}
DECISIONS: dict[str, type[Decision]] = {}

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The stable bucket boundaries of `http.client.request.duration`, used for every duration."""


def _declare(metric: Metric) -> Metric:
    if metric.name in METRICS:
        raise ValueError(f"the metric {metric.name} is declared twice")
    METRICS[metric.name] = metric
    return metric


def counter(name: str, unit: str, brief: str, *attributes: Attribute) -> Metric:
    """Declare a sum that only grows; it is kept in the ledger and observed at collection."""
    return _declare(Metric(name, "counter", unit, brief, attributes))


def updown(name: str, unit: str, brief: str, *attributes: Attribute) -> Metric:
    """Declare a value of now (a state, a level); a policy's `observe` tells it at collection."""
    return _declare(Metric(name, "updown", unit, brief, attributes))


def histogram(
    name: str,
    brief: str,
    *attributes: Attribute,
    unit: str = "s",
    buckets: tuple[float, ...] = SECONDS,
    stability: Stability = "development",
) -> Metric:
    """Declare a distribution; it is recorded when it happens, since exemplars need the moment."""
    return _declare(Metric(name, "histogram", unit, brief, attributes, buckets, stability))


@dataclass(frozen=True, slots=True)
class Count:
    """A decision adds `by` (a field's name, or 1) to a counter, under the labels that its own fields give."""

    metric: Metric
    by: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A decision records the field `value` in a histogram."""

    metric: Metric
    value: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy decided, with the evidence that it decided on."""

    NAME: ClassVar[str] = ""
    """The event's name, `spanwire.<policy>.<what>`."""
    SEVERITY: ClassVar[Severity] = Severity.INFO
    LASTING: ClassVar[bool] = False
    """True for a change of state, told as a log event that outlives sampling.

    False for a step of one call, told on its span.
    """
    NOTABLE: ClassVar[bool] = False
    """True if a call with this decision is one that tail sampling should keep."""
    MOVES: ClassVar[tuple[Count | Record, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # by name and not `super()`: `slots=True` makes the class anew and `__class__` would be the old one
        object.__init_subclass__(**kwargs)
        if cls.NAME:
            known = DECISIONS.get(cls.NAME)
            if known is not None and (known.__module__, known.__name__) != (cls.__module__, cls.__name__):
                raise ValueError(f"the decision {cls.NAME} is declared twice")
            DECISIONS[cls.NAME] = cls

    @property
    def severity(self) -> Severity:
        """Its severity; a class whose severity depends on the evidence overrides this."""
        return self.SEVERITY

    @property
    def enforced(self) -> bool:
        """False where a policy in `observe` mode only tells what it would have done."""
        return True

    def evidence(self) -> dict[str, Value]:
        """Its fields by attribute key, without those that are None."""
        found: dict[str, Value] = {}
        for name, attribute in described(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                found[attribute.key] = value
        return found


_described: dict[type[Decision], Mapping[str, Attribute]] = {}
_labels: dict[tuple[type[Decision], str], tuple[str, ...]] = {}


def described(decision: type[Decision]) -> Mapping[str, Attribute]:
    """The attribute of each field of a decision that has one, by the field's name."""
    if decision not in _described:
        hints = typing.get_type_hints(decision, include_extras=True)
        notes = {field.name: getattr(hints[field.name], "__metadata__", ()) for field in fields(decision)}
        _described[decision] = {
            name: note for name, found in notes.items() for note in found if isinstance(note, Attribute)
        }
    return _described[decision]


def labels_of(decision: type[Decision], metric: Metric) -> tuple[str, ...]:
    """The fields of a decision that give a metric its labels, in the metric's order."""
    key = decision, metric.name
    if key not in _labels:
        by_key = {attribute.key: name for name, attribute in described(decision).items()}
        missing = [attribute.key for attribute in metric.attributes if attribute.key not in by_key]
        if missing:
            raise TypeError(f"{decision.__name__} moves {metric.name} but has no field for {', '.join(missing)}")
        _labels[key] = tuple(by_key[attribute.key] for attribute in metric.attributes)
    return _labels[key]


# -- attributes that several policies speak of ---------------------------------------------------------------------

CLIENT = Attribute(
    "spanwire.client.name", "The client's name: `name=`, else the host of its base URL.", limit=128, example="billing"
)
ENFORCED = Attribute(
    "spanwire.enforced", "False where the policy only observes and refused nothing.", values=("true", "false")
)
ROUTE = Attribute("url.template", "The route of the call, where it is known.", limit=32, example="/invoices/{id}")


def reason(*values: str, brief: str = "Why it was decided so.") -> Attribute:
    """The attribute `spanwire.reason` with the closed set of one decision."""
    return Attribute("spanwire.reason", brief, values=values)
