"""The trace context on its way out: in each attempt's headers."""

from __future__ import annotations

import httpx
from opentelemetry import baggage, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"


def carries_more(span: SpanContext, context: Context) -> bool:
    """Whether there is more to carry than which span this is: a trace state, or baggage."""
    return bool(span[4]) or (bool(context) and bool(baggage.get_all(context)))


def inject(headers: httpx.Headers, span: SpanContext, context: Context, more: bool) -> None:
    """Write the trace context into the headers by the service's propagators.

    Where these are the default ones and there is nothing more to carry, the one header is written here: asking the
    propagators costs several times as much, for each attempt.
    """
    propagator = propagate.get_global_textmap()
    if more or not (_seen[1] if propagator is _seen[0] else _is_default(propagator)):
        propagator.inject(headers, context=context)
    else:
        trace_id, span_id, _, flags, *_ = span
        headers[TRACEPARENT] = f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


_seen: tuple[object, bool] = (None, False)


def _is_default(propagator: object) -> bool:
    """Whether the service's propagators are W3C trace context and baggage, as the API sets them up; found once."""
    global _seen  # noqa: PLW0603  (one tuple, replaced whole: a race does the work twice)
    kinds = {type(part) for part in getattr(propagator, "_propagators", ())}
    _seen = propagator, TraceContextTextMapPropagator in kinds and kinds <= _DEFAULT
    return _seen[1]


_DEFAULT = {TraceContextTextMapPropagator, W3CBaggagePropagator}
