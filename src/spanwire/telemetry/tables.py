"""What the pages of the reference are made of: the vocabulary as they see it, and tables in Markdown."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..decisions import DECISIONS, METRICS, Attribute, Decision, Metric, Severity, described

OTEL_TYPES = {str: "string", bool: "boolean", int: "int", float: "double"}


def told_decisions() -> list[type[Decision]]:
    """spanwire's own decisions, by name."""
    return [kind for _, kind in sorted(DECISIONS.items()) if kind.__module__.startswith("spanwire.")]


def told_metrics() -> list[Metric]:
    """spanwire's own metrics, by name."""
    return [metric for name, metric in sorted(METRICS.items()) if name.startswith(("spanwire.", "http."))]


class Field(NamedTuple):
    """A field of a decision: its attribute, its type, and whether it may be missing."""

    attribute: Attribute
    type: str
    optional: bool


def fields(kind: type[Decision]) -> list[Field]:
    hints = typing.get_type_hints(kind)
    return [Field(attribute, *_typed(hints[name])) for name, attribute in described(kind).items()]


def _typed(hint: Any) -> tuple[str, bool]:
    """The type that OpenTelemetry has for a Python type, and whether None is one of its values."""
    if isinstance(hint, types.UnionType):
        inner = [kind for kind in hint.__args__ if kind is not types.NoneType]
        return _typed(inner[0])[0], True
    return ("string[]" if typing.get_origin(hint) is tuple else OTEL_TYPES[hint]), False


def type_of(attribute: Attribute) -> str:
    """The type of an attribute of a span or metric: that of its example, a string where it has a closed set or none."""
    return "string" if attribute.values else OTEL_TYPES[type(attribute.example)]


def severity_of(kind: type[Decision]) -> str:
    if kind.severity is not Decision.severity:
        return "depends on the evidence"
    return Severity(kind.SEVERITY).name


# -- Markdown --------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell or '-' for cell in row)} |"
    yield ""


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def closed(attribute: Attribute) -> str:
    """The closed set, as it holds on spans and events."""
    return code(attribute.values)


def bounded(attribute: Attribute) -> str:
    """The closed set or the limit, as they hold on metrics."""
    return closed(attribute) or (f"at most {attribute.limit}" if attribute.limit else "")


def texts(kind: type[Any]) -> tuple[str, str]:
    """The first sentence of a docstring, and the rest."""
    first, _, rest = " ".join((kind.__doc__ or "").split()).partition(". ")
    return first.rstrip(".") + ".", rest
