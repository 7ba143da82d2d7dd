"""The listener that turns calls, attempts, waits and decisions into spans, links, events and durations."""

from __future__ import annotations

import time
from typing import Any

import httpx
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Link as SpanLink

from .. import metrics
from ..call import LINKS, Attempt, Call
from ..decisions import CLIENT, Decision, Metric, Record
from ..errors import ConfigurationError
from ..ledger import DROPPED, Account, labels_in
from ..signals import End, Listener
from .carrier import carries_more, inject
from .conventions import NOTABLE, Conventions
from .events import Events
from .instrumented import instrumented
from .instruments import is_live, shelf_of
from .providers import Providers, tracer_of

NOWHERE = set_span_in_context(INVALID_SPAN, Context())
"""The context of records that get no exemplar; the SDK takes an empty context for the current one."""
BASELINE = 0.1
"""The share of calls that a tail sampler keeps though they are not notable, chosen by the trace id's random part."""
_RANDOM = (1 << 56) - 1
_THRESHOLD = int(BASELINE * (_RANDOM + 1))
_ERROR = Status(StatusCode.ERROR)
SHORTEST_WAIT = 0.001
QUIET = (httpx.MockTransport, httpx.ASGITransport, httpx.WSGITransport)
"""Transports that no instrumentation patches. What an application below them sends is not ours to suppress."""
_API = vars(trace)
"""Where the API keeps the global provider: None while no SDK is set up.

Asking it by its function costs more than all the rest of an untraced call's telemetry; if the name should go, every
call takes the longer way.
"""


class Telemetry(Listener):
    """The signals of one client."""

    def __init__(self, account: Account, providers: Providers, attempt_spans: str) -> None:
        if attempt_spans not in ("own", "instrumentation"):
            raise ConfigurationError(
                f"`attempt_spans` = {attempt_spans!r} is impossible: it should be 'own' or 'instrumentation'"
            )
        self._own = attempt_spans == "own"
        self._account = account
        self._tracer = tracer_of(providers)
        self._global_tracer = providers.tracer is None
        self.book, self._histograms = shelf_of(providers.meter)
        self._events = Events(account.client, providers)
        self.conventions = Conventions(account)
        self._request_duration = self._histograms[metrics.REQUEST_DURATION]
        self._call_duration = self._histograms[metrics.CALL_DURATION]
        self._measured = False
        self.suppresses = False

    def wired(self, wire: Any, asynchronous: bool) -> Any:
        """The wire, made visible to the contrib instrumentation where that makes the attempts' spans."""
        self.suppresses = self.suppresses or not (getattr(wire, "quiet", False) or isinstance(wire, QUIET))
        return wire if self._own else instrumented(wire, asynchronous)

    def _is_measured(self) -> bool:
        """Whether anybody measures; once so, always so."""
        self._measured = is_live(self._call_duration)
        return self._measured

    # -- the call --------------------------------------------------------------------------------------------------

    def opened(self, call: Call) -> None:
        parent = otel.get_current()
        if not parent:
            if self._global_tracer and _API.get("_TRACER_PROVIDER", self) is None:
                return  # nobody traces
        elif parent.get(_SUPPRESS_INSTRUMENTATION_KEY):
            call.muted = True
            return  # an exporter's own call
        elif parent.get(_SUPPRESS_HTTP_INSTRUMENTATION_KEY):
            call.muted = True
        name, attributes = self.conventions.call_start(call)
        span = self._tracer.start_span(name, parent, SpanKind.INTERNAL, attributes)
        context = span.get_span_context()
        trace_id = context[0]
        if not trace_id:
            call.scope = parent or None  # baggage, where nobody traces
            return
        call.span, call.trace_id = span, trace_id
        call.scope = set_span_in_context(span, parent)
        call.carries = carries_more(context, parent)
        call.recorded = recorded = span.is_recording()
        if recorded and trace_id & _RANDOM < _THRESHOLD:
            call.baseline = True
            span.set_attribute("spanwire.baseline", True)

    enter = staticmethod(otel.attach)
    """Makes a call's scope current, for what is logged and intercepted in it; `leave` follows in the same task."""
    leave = staticmethod(otel.detach)
    """What was current before is current again; takes what `enter` returned."""

    def closed(self, call: Call) -> None:
        span: Span | None = call.span
        if span is None and (call.muted or not (self._measured or self._is_measured())):
            return
        outcome = call.outcome or "cancelled"
        failed = outcome in ("failure", "rejected")
        if failed or outcome == "fallback":
            call.notable = True
        try:
            if self._measured or self._is_measured():
                where = call.scope if call.scope is not None and (call.notable or call.baseline) else NOWHERE
                self._call_duration.record(
                    (call.ended or 0.0) - call.started, self.conventions.call_duration(call, outcome), where
                )
        finally:  # a meter that fails takes no span with it
            if span is not None:
                if call.recorded:
                    for link in call.links:
                        span.add_link(link.context, {"spanwire.link.relation": link.relation})
                    span.set_attributes(self.conventions.call_end(call, outcome))
                    if failed:
                        span.set_status(_ERROR)
                span.end()

    @staticmethod
    def _exemplar(call: Call, context: Context | None) -> Context:
        """The context to record a duration in: one whose trace will be kept, or none."""
        return context if context is not None and (call.notable or call.baseline) else NOWHERE

    # -- attempts --------------------------------------------------------------------------------------------------

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> End | None:
        measured = self._measured or self._is_measured()
        if call.scope is None and not measured:
            return None
        if call.muted:
            if call.span is not None:
                inject(request.headers, call.span.get_span_context(), call.scope, call.carries)
            return None
        return _AttemptSpan(self, call, attempt, request) if self._own else _Left(self, call, attempt, request)

    def start(self, call: Call, attempt: Attempt, request: httpx.Request) -> Span:
        """The span of an attempt, with the links that were left for it."""
        name, attributes = self.conventions.attempt_start(call, attempt, request)
        left = request.extensions.pop(LINKS, None)
        links = [SpanLink(link.context, {"spanwire.link.relation": link.relation}) for link in left] if left else None
        return self._tracer.start_span(name, call.scope, SpanKind.CLIENT, attributes, links)

    def ended(
        self, call: Call, attempt: Attempt, span: Span | None, context: Context | None, request: httpx.Request
    ) -> None:
        """An attempt has ended: its durations, and the end of its span."""
        status, error = attempt.status, attempt.error
        failed = error is not None or (status is not None and status >= 400)
        if error is not None or (failed and status is not None and status >= 500):
            call.notable = True
        try:
            if self._measured and (
                status is not None or error is not None
            ):  # a cancelled attempt has no duration to speak of
                where = context if context is not None and (call.notable or call.baseline) else NOWHERE
                self._request_duration.record(
                    attempt.ended - attempt.started, self.conventions.request_duration(call, attempt, request), where
                )
                if attempt.connect is not None or attempt.pool_wait >= metrics.POOL_WAIT_FLOOR:
                    self._record_connecting(call, attempt, where)
        finally:
            if span is not None:
                if call.recorded:
                    span.set_attributes(self.conventions.attempt_end(call, attempt))
                    if failed:
                        span.set_status(_ERROR)
                span.end()

    def lost(self) -> None:
        """The trace context could not be sent along; it is counted, and the attempt is told all the same."""
        self._account.cell(DROPPED, "listener").value += 1

    def left(self, call: Call, attempt: Attempt) -> None:
        """An attempt has ended that another instrumentation tells of: what that does not know."""
        if attempt.error is not None or (attempt.status or 0) >= 500:
            call.notable = True
        if self._measured:
            self._record_connecting(call, attempt, self._exemplar(call, call.scope))

    def _record_connecting(self, call: Call, attempt: Attempt, where: Context) -> None:
        labels = {CLIENT.key: self._account.label}
        if attempt.connect is not None:
            self._histograms[metrics.CONNECT].record(attempt.connect, labels, where)
        if attempt.pool_wait >= metrics.POOL_WAIT_FLOOR:
            self._histograms[metrics.POOL_WAIT].record(attempt.pool_wait, labels, where)

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
            attributes[NOTABLE] = True
        span = self._tracer.start_span(f"wait {kind}", call.scope, SpanKind.INTERNAL, attributes, start_time=start)
        span.end(start + int(seconds * 1e9))

    def decided(self, call: Call | None, decision: Decision) -> None:
        if call is not None and call.muted and call.span is None:
            return
        self._events.tell(call, decision)
        for move in decision.MOVES:
            if isinstance(move, Record):
                self._record(call, decision, move)

    def _record(self, call: Call | None, decision: Decision, move: Record) -> None:
        metric: Metric = move.metric
        labels = {
            attribute.key: self._account.bounded(attribute, label)
            for attribute, label in zip(metric.attributes, labels_in(decision, metric), strict=True)
        }
        context = self._exemplar(call, call.scope) if call is not None else NOWHERE
        self._histograms[metric].record(
            getattr(decision, move.value), {CLIENT.key: self._account.label, **labels}, context
        )


class _AttemptSpan:
    """One attempt.

    Its span is current while it is on the wire, its own `traceparent` goes with it, and no other instrumentation below
    makes a second span.
    """

    __slots__ = ("_attempt", "_call", "_context", "_request", "_span", "_telemetry", "_token")

    def __init__(self, telemetry: Telemetry, call: Call, attempt: Attempt, request: httpx.Request) -> None:
        self._telemetry, self._call, self._attempt, self._request = telemetry, call, attempt, request
        if call.span is None:
            self._span = self._context = None
            if call.scope is not None:
                inject(request.headers, INVALID_SPAN.get_span_context(), call.scope, True)
            return
        span = self._span = telemetry.start(call, attempt, request)
        attempt.context = span.get_span_context()
        context = self._context = set_span_in_context(span, call.scope)
        if telemetry.suppresses:  # another instrumentation may see the request too: it is asked to keep still
            context = otel.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context)
        try:
            inject(request.headers, attempt.context, context, call.carries)
        except Exception:  # a propagator's of the service
            telemetry.lost()
        self._token = otel.attach(context)

    def __call__(self) -> None:
        if self._span is not None:
            otel.detach(self._token)
        self._telemetry.ended(self._call, self._attempt, self._span, self._context, self._request)


class _Left:
    """One attempt whose span another instrumentation makes, below the call's; if none does, the origin is told that."""

    __slots__ = ("_attempt", "_call", "_telemetry", "_token")

    def __init__(self, telemetry: Telemetry, call: Call, attempt: Attempt, request: httpx.Request) -> None:
        self._telemetry, self._call, self._attempt = telemetry, call, attempt
        self._token: Any = None
        if call.scope is None:
            return
        context = INVALID_SPAN.get_span_context()
        if call.span is not None:
            context = attempt.context = call.span.get_span_context()
            self._token = otel.attach(call.scope)
        try:
            inject(request.headers, context, call.scope, call.carries or call.span is None)
        except Exception:  # a propagator's of the service
            telemetry.lost()

    def __call__(self) -> None:
        if self._token is not None:
            otel.detach(self._token)
        self._telemetry.left(self._call, self._attempt)
