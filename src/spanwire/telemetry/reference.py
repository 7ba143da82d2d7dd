"""The reference of all that is told: `python -m spanwire.telemetry.reference --write docs/telemetry`.

Names, types, units, closed sets and texts come from the declarations of decisions, metrics and spans, and from nowhere
else; importing spanwire has made all of them. `--check` compares what is written with what they say, and ends with 1
if anything differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..decisions import CLIENT, Attribute, Count, Decision, Metric
from ..metrics import ADDRESS, PORT
from ..spans import ATTEMPT, CALL, RELATION, SPANS, WAIT, Placed, SpanShape
from .tables import (
    Field,
    bounded,
    closed,
    code,
    fields,
    severity_of,
    table,
    texts,
    told_decisions,
    told_metrics,
    type_of,
)

__all__ = ["main", "pages"]

_HEAD = "<!-- Written by `make docs` from the declarations in src/spanwire: change those, not this page. -->\n"
_TYPES = {str: "string", bool: "boolean", int: "int", float: "double"}
_INSTRUMENTS = {"counter": "observable counter", "updown": "observable up-down counter", "histogram": "histogram"}
_TIMES = " \N{MULTIPLICATION SIGN} "
_TOGETHER = {PORT.key: ADDRESS.key}
"""Attributes that vary only with another one, and so do not multiply the series."""


def pages() -> dict[str, str]:
    """The pages of the reference by their file names."""
    return {
        "events.md": _HEAD + _EVENTS + "\n".join(_events()),
        "metrics.md": _HEAD + _METRICS.replace("{clients}", str(CLIENT.limit)) + "\n".join(_metrics()),
        "attributes.md": _HEAD + _ATTRIBUTES + "\n".join(_attributes()),
        "spans.md": _HEAD + _spans(),
    }


# -- events ----------------------------------------------------------------------------------------------------------

_EVENTS = """
# Events

Every decision is an event with the evidence that it was taken on. There are two kinds:

- **A step of one call** is an event on the span of the call. With `SPANWIRE_EVENTS=log` it is a log event instead, with
  `both` it is both. A call whose span is not recorded tells its steps to the log only, if at all.
- **A change of state** outlives the call that it happened in, and any sampling: it is a log event, with an event name,
  a severity, the trace context of the call where there was one, and `spanwire.client.name`.

A *notable* decision marks its call, and every span of it that ends from then on, with `spanwire.notable`, for tail
sampling. An attribute marked *may be missing* is left out where its value is not known or there is none.
"""


def _events() -> Iterator[str]:
    rows = [
        (f"[`{kind.NAME}`](#{_anchor(kind.NAME)})", texts(kind)[0], _where(kind), _yes(kind.NOTABLE))
        for kind in told_decisions()
    ]
    yield from table(("event", "what happened", "told as", "notable"), rows)
    for kind in told_decisions():
        yield from _event(kind)


def _event(kind: type[Decision]) -> Iterator[str]:
    first, rest = texts(kind)
    yield f"## {kind.NAME}\n"
    yield f"{first} {rest}".strip() + "\n"
    yield f"- Severity: {severity_of(kind)}"
    yield f"- Told as: {_where(kind)}"
    yield f"- Notable: {_yes(kind.NOTABLE)}"
    if kind.MOVES:
        verbs = [
            f"{'counts in' if isinstance(move, Count) else 'recorded in'} `{move.metric.name}`" for move in kind.MOVES
        ]
        yield f"- Metrics: {', '.join(verbs)}"
    rows = [
        (
            f"`{field.attribute.key}`",
            field.type,
            field.attribute.unit,
            closed(field.attribute),
            f"{field.attribute.brief}{_missing(field)}",
        )
        for field in fields(kind)
    ]
    yield from table(("attribute", "type", "unit", "values", "meaning"), rows)


def _anchor(name: str) -> str:
    """The anchor that GitHub gives a heading."""
    return name.replace(".", "")


def _where(kind: type[Decision]) -> str:
    return "log event" if kind.LASTING else "span event"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _missing(field: Field) -> str:
    return " *May be missing.*" if field.optional else ""


# -- metrics ---------------------------------------------------------------------------------------------------------

_METRICS = """
# Metrics

Counters and up-down counters are observable: they read integers that the client keeps anyway, when they are collected,
and cost a call nothing. Histograms are recorded when it happens. All metrics have `spanwire.client.name` beside the
attributes named here. An attribute that does not apply (an `error.type` of a success) is left out.

**Series** is the most that one client name can have of a metric: the product of the closed sets and limits of its
attributes, `_other` included. `server.port` goes with its `server.address` and is no factor. What really exists is far
less: a client that sends GETs by three routes to one origin has three to a dozen series of
`http.client.request.duration`.

Hosts, routes, error classes and breaker names beyond their limit become `_other`, and so do client names beyond
{clients} (choose them from a fixed set). `spanwire.telemetry.dropped` counts what was folded so.
"""


def _metrics() -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_metric(metric) for metric in told_metrics()]
    yield from table(("metric", "meaning", "instrument", "unit", "attributes", "stability", "series"), rows)
    yield "## Labels\n"
    yield "The attributes of each metric with their values. What they mean stands in [attributes.md](attributes.md)."
    labels = [(metric.name, one) for metric in told_metrics() for one in metric.attributes]
    rows = [(f"`{name}`", f"`{one.key}`", type_of(one), bounded(one)) for name, one in labels]
    yield from table(("metric", "attribute", "type", "values"), rows)
    yield "## Buckets\n"
    yield "The boundaries that histograms advise; a view of the SDK wins over them."
    buckets = [(metric.name, metric.buckets) for metric in told_metrics() if metric.buckets]
    rows = [(f"`{name}`", ", ".join(f"{bound:g}" for bound in bounds)) for name, bounds in buckets]
    yield from table(("metric", "boundaries"), rows)


def _metric(metric: Metric) -> tuple[str, ...]:
    keys, instrument = code(one.key for one in metric.attributes), _INSTRUMENTS[metric.kind]
    return f"`{metric.name}`", metric.brief, instrument, f"`{metric.unit}`", keys, metric.stability, _bound(metric)


def _bound(metric: Metric) -> str:
    """How many series one client name may have, with the factors where there are several."""
    keys = {one.key for one in metric.attributes}
    factors = [_factor(one) for one in metric.attributes if _TOGETHER.get(one.key) not in keys]
    shown = f"{math.prod(factors):,}"
    return shown if len(factors) < 2 else f"{shown} = {_TIMES.join(map(str, factors))}"


def _factor(attribute: Attribute) -> int:
    return len(attribute.values) or attribute.limit + 1


# -- attributes ------------------------------------------------------------------------------------------------------

_ATTRIBUTES = """
# Attributes

Every key that stands on a span, event or metric. `development` keys may still change with a minor release; `stable`
ones are those of the OpenTelemetry conventions. A limit ("at most 32") holds on metrics. No attribute holds a header, a
body, a credential or the value of a query.
"""


class Use(NamedTuple):
    """An attribute where it stands."""

    attribute: Attribute
    type: str
    place: str


def _uses() -> Iterator[Use]:
    for shape in SPANS:
        for placed in shape.attributes:
            yield Use(placed.attribute, type_of(placed.attribute), "spans")
    yield Use(RELATION, type_of(RELATION), "links")
    yield Use(CLIENT, type_of(CLIENT), "log events")
    for kind in told_decisions():
        for field in fields(kind):
            yield Use(field.attribute, field.type, "events")
    for metric in told_metrics():
        for attribute in (CLIENT, *metric.attributes):
            yield Use(attribute, type_of(attribute), "metrics")


def _attributes() -> Iterator[str]:
    found: dict[str, list[Use]] = {}
    for use in _uses():
        found.setdefault(use.attribute.key, []).append(use)
    rows = [_row(key, found[key]) for key in sorted(found)]
    yield from table(("attribute", "type", "unit", "values", "stability", "on", "meaning"), rows)


def _row(key: str, uses: list[Use]) -> Sequence[str]:
    attributes = list(dict.fromkeys(use.attribute for use in uses))
    values = _distinct(map(bounded, attributes))
    several = len(values) > 1
    return (
        f"`{key}`",
        _types_of(uses),
        " or ".join(_distinct(one.unit for one in attributes)),
        "see [events](events.md) and [metrics](metrics.md#labels)" if several else "".join(values),
        attributes[0].stability,
        ", ".join(_distinct(use.place for use in uses)),
        " / ".join(_distinct(one.brief for one in attributes)),
    )


def _types_of(uses: list[Use]) -> str:
    """The type, by the place where it is not the same everywhere."""
    kinds: Mapping[str, list[str]] = {
        kind: _distinct(use.place for use in uses if use.type == kind) for kind in _distinct(use.type for use in uses)
    }
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{kind} on {' and '.join(places)}" for kind, places in kinds.items())


def _distinct(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]


# -- spans -----------------------------------------------------------------------------------------------------------

_SPANS = """
# Spans

One logical call is one trace, or one branch of the caller's:

```text
call GET /invoices/{id}     INTERNAL  what the caller asked for once; ends when the body is read or closed
├─ GET /invoices/{id}       CLIENT    attempt 1: 503; ends at its response headers
├─ wait backoff             INTERNAL  any wait of 1 ms or more
├─ GET /invoices/{id}       CLIENT    attempt 2: http.request.resend_count=1
└─ (events on the call: spanwire.retry.scheduled ...)
```

Redirects and the requests of an authentication flow are attempts of the same call. A bare `Transport` sees requests
and not calls: there each redirect is a call of its own.

**Names.** The route is the template that `override(route=...)` gave, such as `/invoices/{id}`; without one it is left
out. The method is `HTTP` in names, and `_OTHER` in attributes, if it is not one of the known ones;
`OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` names others, separated by commas.

**Status.** A call is an ERROR only if its caller sees a failure or a refusal: one that was retried with success is
unset. An attempt is an ERROR if it was answered with 400 or more, or not at all. One that was cancelled is unset.

**Current span.** While an attempt is on the wire its span is current, and its own `traceparent` goes with the request.
No span is current while the caller reads a streamed body.

**Sampling.** Head samplers see the attributes marked *start*. For tail sampling, `spanwire.notable` is on the call and
on every span of it that ended after it became true, and `spanwire.baseline` marks a tenth of all calls, chosen by the
randomness of the trace id. Histograms have exemplars from these two kinds of call and from no other: keep both kinds,
and every exemplar leads to a trace.

**Instrumentation of others.** spanwire makes the CLIENT spans itself, by the stable HTTP conventions, and asks
`opentelemetry-instrumentation-httpx` to make none below them. With `attempt_spans="instrumentation"` it is the other
way round: see [telemetry](../guide/telemetry.md#beside-the-contrib-instrumentation).

## The call

{call}
## An attempt

{attempt}
## A wait

{wait}
## Links

A link leads from an effect to its cause. A span has at most 8.
{link}
| from | to | when |
|---|---|---|
| the call | the attempt that opened the breaker | the breaker refused an attempt of this call |
| an attempt | the attempt that opened the breaker | the attempt is a probe of a half-open breaker |
"""


def _spans() -> str:
    tables = {name: "\n".join(_shape(shape)) for name, shape in (("call", CALL), ("attempt", ATTEMPT), ("wait", WAIT))}
    relation = (f"`{RELATION.key}`", type_of(RELATION), closed(RELATION), RELATION.brief)
    tables["link"] = "\n".join(table(("attribute", "type", "values", "meaning"), [relation]))
    text = _SPANS
    for name, lines in tables.items():
        text = text.replace(f"{{{name}}}\n", f"{lines}\n")
    return text


def _shape(shape: SpanShape) -> Iterator[str]:
    yield f"`{shape.name}`, {shape.kind}. {shape.brief}"
    yield from table(("attribute", "type", "unit", "values", "set at", "meaning"), map(_placed, shape.attributes))


def _placed(placed: Placed) -> tuple[str, ...]:
    one, where = placed.attribute, f" *Where {placed.where}.*" if placed.where else ""
    return f"`{one.key}`", type_of(one), one.unit, closed(one), placed.at, one.brief + where


# -- the command -----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages into a directory, or check that they are what they should be; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m spanwire.telemetry.reference", description="The reference of all that is told."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="DIRECTORY", help="write the pages")
    what.add_argument("--check", type=Path, metavar="DIRECTORY", help="end with 1 if the pages there are not these")
    options = parser.parse_args(arguments)
    if options.write is not None:
        return _write(options.write)
    return _check(options.check)


def _write(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


def _check(directory: Path) -> int:
    stale = [name for name, text in pages().items() if _read(directory / name) != text]
    if stale:
        sys.stderr.write(f"{', '.join(stale)} in {directory} is not what the declarations say: run `make docs`\n")
    return int(bool(stale))


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
