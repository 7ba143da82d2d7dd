"""The listener that turns calls, attempts, waits and decisions into spans, links, events and durations."""

from __future__ import annotations

import time
from typing import Any

import httpx
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.propagate import inject
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Link as SpanLink

from .. import metrics
from ..call import LINKS, Attempt, Call
from ..decisions import CLIENT, ROUTE, Decision, Metric, Record, labels_of
from ..errors import ConfigurationError
from ..ledger import Account
from ..signals import End, Listener
from ..target import target_of
from . import conventions
from .events import Events
from .instrumented import instrumented
from .instruments import is_live, shelf_of
from .providers import Providers, tracer_of

NOWHERE = set_span_in_context(INVALID_SPAN, Context())
"""The context of records that get no exemplar; the SDK takes an empty context for the current one."""
BASELINE = 0.1
"""The share of calls that a tail sampler keeps though they are not notable, chosen by the randomness of the trace id."""
_RANDOM = (1 << 56) - 1
_THRESHOLD = int(BASELINE * (_RANDOM + 1))
_ERROR = Status(StatusCode.ERROR)
SHORTEST_WAIT = 0.001
_API = vars(trace)
"""Where the API keeps the global provider: None while no SDK is set up. Asking it by its function costs more than all the rest of an untraced call's telemetry."""


class Telemetry(Listener):
    """The signals of one client."""

    def __init__(self, account: Account, providers: Providers, attempt_spans: str) -> None:
        if attempt_spans not in ("own", "instrumentation"):
            raise ConfigurationError(f"`attempt_spans` = {attempt_spans!r} is impossible: it should be 'own' or 'instrumentation'")
        self._own = attempt_spans == "own"
        self._account = account
        self._tracer = tracer_of(providers)
        self._global_tracer = providers.tracer is None
        self.book, self._histograms = shelf_of(providers.meter)
        self._events = Events(account.client, providers)
        self._durations = conventions.DurationAttributes(account)
        self._call_attributes: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._request_duration = self._histograms[metrics.REQUEST_DURATION]
        self._call_duration = self._histograms[metrics.CALL_DURATION]

    def wired(self, wire: Any) -> Any:
        """The wire, made visible to the contrib instrumentation where that makes the attempts' spans."""
        return wire if self._own else instrumented(wire)

    # -- the call --------------------------------------------------------------------------------------------------

    def opened(self, call: Call) -> None:
        parent = otel.get_current()
        if not parent:
            if self._global_tracer and _API.get("_TRACER_PROVIDER", self) is None:
                return  # nobody traces
        elif parent.get(_SUPPRESS_INSTRUMENTATION_KEY):
            return  # an exporter's own call
        target = target_of(call.url)
        attributes: dict[str, Any] = {
            "http.request.method": conventions.method_of(call.method),
            "server.address": target.host,
            "server.port": target.port,
            CLIENT.key: call.client,
            "spanwire.policy.hash": call.policy_hash,
        }
        if call.route is not None:
            attributes[ROUTE.key] = call.route
        span = self._tracer.start_span(f"call {conventions.span_name(call.method, call.route)}", parent, SpanKind.INTERNAL, attributes)
        context = span.get_span_context()
        if not context.is_valid:
            call.scope = parent or None  # baggage, where nobody traces
            return
        call.span, call.trace_id = span, context.trace_id
        call.scope = set_span_in_context(span, parent)
        if context.trace_flags.sampled and context.trace_id & _RANDOM < _THRESHOLD:
            call.baseline = True
            span.set_attribute("spanwire.baseline", True)

    @staticmethod
    def enter(call: Call) -> Any:
        """Make the call's span current, for the log records and interceptors inside it; only where `leave` follows in the same task."""
        return otel.attach(call.scope)

    @staticmethod
    def leave(token: Any) -> None:
        """What was current before is current again."""
        otel.detach(token)

    def closed(self, call: Call) -> None:
        outcome = call.outcome or "cancelled"
        span: Span | None = call.span
        if span is not None and span.is_recording():
            for link in call.links:
                span.add_link(link.context, {"spanwire.link.relation": link.relation})
            span.set_attributes(self._ending(call, outcome))
            if outcome in ("failure", "rejected"):
                span.set_status(_ERROR)
        if is_live(self._call_duration):
            self._call_duration.record(call.duration, self._labels(call, outcome), self._exemplar(call, call.scope))
        if span is not None:
            span.end()

    @staticmethod
    def _ending(call: Call, outcome: str) -> dict[str, Any]:
        found: dict[str, Any] = {"spanwire.outcome": outcome, "spanwire.attempts": len(call.attempts)}
        if call.notable or len(call.attempts) > 1 or outcome in ("failure", "rejected", "fallback"):
            found["spanwire.notable"] = call.notable = True
        if call.error is not None:
            found["error.type"] = call.error
        return found

    def _labels(self, call: Call, outcome: str) -> dict[str, Any]:
        key = (call.method, call.route, outcome, call.error)
        found = self._call_attributes.get(key)
        if found is None:
            found = {CLIENT.key: call.client, "http.request.method": conventions.method_of(call.method), "spanwire.outcome": outcome}
            if call.route is not None:
                found[ROUTE.key] = self._account.bounded(ROUTE, call.route)
            if call.error is not None:
                found["error.type"] = self._account.bounded(metrics.ERROR_TYPE, call.error)
            if len(self._call_attributes) >= 1024:
                self._call_attributes.clear()
            self._call_attributes[key] = found
        return found

    @staticmethod
    def _exemplar(call: Call, context: Context | None) -> Context:
        """The context to record a duration in: one whose trace will be kept, or none."""
        return context if context is not None and (call.notable or call.baseline) else NOWHERE

    # -- attempts --------------------------------------------------------------------------------------------------

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> End | None:
        if not self._own:
            return None
        if call.scope is None and not is_live(self._request_duration):
            return None
        return _AttemptSpan(self, call, attempt, request).end

    def _start(self, call: Call, attempt: Attempt, request: httpx.Request) -> Span:
        links = [SpanLink(link.context, {"spanwire.link.relation": link.relation}) for link in request.extensions.pop(LINKS, ())]
        attributes = conventions.started(call, attempt, request)
        return self._tracer.start_span(conventions.span_name(request.method, call.route), call.scope, SpanKind.CLIENT, attributes, links)

    def _end(self, call: Call, attempt: Attempt, span: Span | None, context: Context | None, request: httpx.Request, seconds: float) -> None:
        failed = attempt.error is not None or (attempt.status or 0) >= 400
        if attempt.number > 1 or (attempt.status or 0) >= 500 or attempt.error is not None:
            call.notable = True
        if attempt.error is not None or attempt.status is not None:
            self._request_duration.record(seconds, self._durations.of(call, attempt, request), self._exemplar(call, context))
        if attempt.pool_wait >= metrics.POOL_WAIT_FLOOR:
            self._histograms[metrics.POOL_WAIT].record(attempt.pool_wait, {CLIENT.key: call.client}, self._exemplar(call, context))
        if attempt.connect is not None:
            self._histograms[metrics.CONNECT].record(attempt.connect, {CLIENT.key: call.client}, self._exemplar(call, context))
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(conventions.ended(call, attempt))
            if failed:
                span.set_status(_ERROR)
        span.end()

    # -- waits and decisions ---------------------------------------------------------------------------------------

    def wait(self, call: Call, kind: str, seconds: float | None) -> End | None:
        if call.span is None:
            return None
        began, start = call.clock(), time.time_ns()

        def end() -> None:
            waited = call.clock() - began
            if max(waited, seconds or 0.0) >= SHORTEST_WAIT:
                self._waited(call, kind, start, waited)

        return end

    def _waited(self, call: Call, kind: str, start: int, seconds: float) -> None:
        attributes: dict[str, Any] = {"spanwire.wait.kind": kind}
        if call.notable:
            attributes["spanwire.notable"] = True
        span = self._tracer.start_span(f"wait {kind}", call.scope, SpanKind.INTERNAL, attributes, start_time=start)
        span.end(start + int(seconds * 1e9))

    def decided(self, call: Call | None, decision: Decision) -> None:
        self._events.tell(call, decision)
        for move in decision.MOVES:
            if isinstance(move, Record):
                self._record(call, decision, move)

    def _record(self, call: Call | None, decision: Decision, move: Record) -> None:
        metric: Metric = move.metric
        labels = {attribute.key: getattr(decision, name) for attribute, name in zip(metric.attributes, labels_of(type(decision), metric), strict=True)}
        context = self._exemplar(call, call.scope) if call is not None else NOWHERE
        self._histograms[metric].record(getattr(decision, move.value), {CLIENT.key: self._account.client, **labels}, context)


class _AttemptSpan:
    """One attempt: its span is current while it is on the wire, its own `traceparent` goes with it, and no other instrumentation below makes a second span."""

    __slots__ = ("_attempt", "_call", "_context", "_request", "_span", "_telemetry", "_token")

    def __init__(self, telemetry: Telemetry, call: Call, attempt: Attempt, request: httpx.Request) -> None:
        self._telemetry, self._call, self._attempt, self._request = telemetry, call, attempt, request
        self._span: Span | None = None
        self._context: Context | None = None
        if call.span is not None:
            self._begin(call)
        elif call.scope is not None:
            inject(request.headers, call.scope)

    def _begin(self, call: Call) -> None:
        span = self._span = self._telemetry._start(call, self._attempt, self._request)
        self._attempt.context = span.get_span_context()
        context = self._context = set_span_in_context(span, call.scope)
        inject(self._request.headers, context)
        self._token = otel.attach(otel.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context))

    def end(self) -> None:
        if self._span is not None:
            otel.detach(self._token)
        attempt = self._attempt
        self._telemetry._end(self._call, attempt, self._span, self._context, self._request, attempt.ended - attempt.started)
