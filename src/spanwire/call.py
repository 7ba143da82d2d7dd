"""The state of one logical call: what the caller asked for once, however many requests it takes.

It is opened by `Client.send` (or by a bare transport), travels in `request.extensions` through redirects, auth flows,
retries and hedges, and ends when the body is read or closed. Times are seconds of the client's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import httpx

from .decisions import Decision
from .redact import redacted
from .target import target_of

CALL = "spanwire.call"
"""The key of the `Call` in `request.extensions`."""
ATTEMPT = "spanwire.attempt"
"""The key of the `Attempt` under way in `request.extensions`: the wire writes its evidence there."""
KIND = "spanwire.attempt.kind"
"""The key of the kind that the next attempt of a request has."""
LEFT = "spanwire.attempt.left"
"""The key of the seconds that are left for a sync attempt's answer, and for its body; the wire takes them."""
CUT = "spanwire.attempt.cut"
"""The key of the time at which the attempt under way will be cut short."""
LINKS = "spanwire.attempt.links"
"""The key of the `Link`s that the next attempt of a request starts with."""
OVERRIDE = "spanwire.override"
"""The key of what `spanwire.override(...)` asks for."""
CORRELATION = "spanwire.correlation"
"""The key of the trace id that spanwire wrote into the correlation header of a request."""
AUTH = "spanwire.auth"
"""The key that marks a request which an auth flow made, such as one for a token."""

AttemptKind = Literal["primary", "retry", "hedge", "redirect", "auth", "probe", "revalidation"]
Outcome = Literal["success", "failure", "rejected", "cached", "fallback", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "rejected", "cached", "fallback", "cancelled")
PHASES = (
    "pool",
    "connect",
    "attempt",
    "backoff",
    "rate_limit",
    "concurrency",
    "token",
    "cache",
    "coalesce",
    "body",
    "other",
)

MAX_DECISIONS = 128
"""Decisions kept of one call; later ones are told and counted but not kept."""
MAX_LINKS = 8


class Link:
    """A link from effect to cause: `context` is the telemetry's own reference to a span, opaque to policies."""

    __slots__ = ("context", "relation")

    def __init__(self, context: Any, relation: str) -> None:
        self.context = context
        self.relation = relation


class Attempt:
    """One request on the wire. What is not set at its start has its default in the class, which makes a start cheap."""

    ended = 0.0
    status: int | None = None
    error: str | None = None
    """The class of its error; None also if it was cancelled."""
    protocol: bytes | None = None
    endpoint: str | None = None
    pool_wait = 0.0
    """Seconds that it waited for a connection of the pool; the wire writes this and what follows."""
    connect: float | None = None
    """Seconds to connect, TLS included, if it made a connection."""
    peer: tuple[str, int] | None = None
    """Address and port of the socket's other end."""
    abort: Callable[[], None] | None = None
    """Cuts it off from another thread; None if nothing is under way, or nobody knows how."""
    lost = False
    """Whether it lost its race: the wire, which may have kept it waiting, does not send it any more."""
    context: Any = None
    """The telemetry's reference to its span, for links."""
    aside = False
    """Whether it was sent for an auth flow, and not for the caller."""

    def __init__(self, number: int, kind: str, started: float) -> None:
        self.number = number
        self.kind = kind
        self.started = started

    def __repr__(self) -> str:
        return f"<Attempt {self.number} {self.kind} {self.status or self.error or 'under way'}>"


class Call:
    """One logical call: its deadline, attempts, decisions with their times, and the time line of its phases."""

    ended: float | None = None
    route: str | None = None
    idempotent: bool | None = None
    decisions: Sequence[tuple[float, Decision]] = ()
    links: Sequence[Link] = ()
    phase = "other"
    """The phase that its time line is in."""
    _at_work = 0
    outcome: Outcome | None = None
    error: str | None = None
    notable = False
    baseline = False
    muted = False
    """Whether another instrumentation tells of its requests, or nobody is to: their attempts are not told."""
    carries = False
    """Whether more than the plain trace context goes with its requests: baggage, or a trace state."""
    override: Mapping[str, Any] | None = None
    """The parts of the policy that it asks for in place of the client's."""
    span: Any = None
    """The telemetry's span of the call, opaque to policies."""
    recorded = False
    """Whether anybody will see the attributes and events of its spans."""
    scope: Any = None
    """The telemetry's context below that span."""
    trace_id = 0
    body: object = None
    """The body of the response that arrived last."""
    streamed = False
    """Whether the end of that body is the end of the call."""
    opener = 0
    """The identity of the engine whose bare transport opened it; 0 for that of a client."""
    sent: tuple[int, ...] = ()
    """The identities of the request objects that were sent, to tell a redirect from an answer to a challenge."""

    def __init__(
        self, request: httpx.Request, clock: Callable[[], float], client: str, policy_hash: str, total: float | None
    ) -> None:
        now = clock()
        self.clock = clock
        self.client = client
        self.policy_hash = policy_hash
        self.method = request.method
        self.url = request.url
        self.target = target_of(self.url)
        """Where it was sent at first; `target_of(request.url)` is where a request of it goes now."""
        self.started = self._since = now
        self.total = total
        self.deadline = None if total is None else now + total
        self.attempts: list[Attempt] = []
        self.phases: dict[str, float] = {}

    @staticmethod
    def of(request: httpx.Request) -> Call:
        """The call that a request belongs to."""
        call: Call = request.extensions[CALL]
        return call

    # -- time ------------------------------------------------------------------------------------------------------

    def remaining(self, now: float) -> float:
        """Seconds until the deadline, never below zero; infinite without one."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - now)

    def mark(self, phase: str, now: float) -> None:
        """The time line enters a phase: what has passed since the last mark belongs to the one before."""
        phases, current = self.phases, self.phase
        phases[current] = phases.get(current, 0.0) + now - self._since
        self._since, self.phase = now, phase

    def begin(self, kind: str, now: float) -> Attempt:
        """An attempt starts. Attempts that overlap (hedging) count once on the time line."""
        attempts = self.attempts
        attempt = Attempt(len(attempts) + 1, kind, now)
        attempts.append(attempt)
        self._at_work += 1
        phases, phase = self.phases, self.phase
        if phase != "attempt":  # as `mark` does
            phases[phase] = phases.get(phase, 0.0) + now - self._since
            self._since, self.phase = now, "attempt"
        return attempt

    def finish(self, attempt: Attempt, now: float) -> None:
        """An attempt ends at its response headers or its error; pool wait and connecting are cut out of its time."""
        attempt.ended = now
        self._at_work -= 1
        if not self._at_work:
            phases, phase = self.phases, self.phase
            phases[phase] = phases.get(phase, 0.0) + now - self._since
            self._since, self.phase = now, "other"
        if attempt.abort is not None:
            attempt.abort = None  # its connection may serve somebody else from now on
        if attempt.pool_wait:
            self._move("pool", attempt.pool_wait)
        if attempt.connect:
            self._move("connect", attempt.connect)

    def _move(self, phase: str, seconds: float) -> None:
        """Move time from the attempts to a part of them, never more than there is."""
        seconds = min(seconds, self.phases.get("attempt", 0.0))
        if seconds > 0:
            self.phases["attempt"] -= seconds
            self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    @property
    def duration(self) -> float:
        """Seconds from its start to its end, or to now."""
        return (self.clock() if self.ended is None else self.ended) - self.started

    # -- what is known of it -----------------------------------------------------------------------------------------

    def keep(self, decision: Decision, now: float) -> bool:
        """Keep a decision for the report; False if there are too many."""
        if decision.NOTABLE:
            self.notable = True
        if len(self.decisions) >= MAX_DECISIONS:
            return False
        self.decisions = [*self.decisions, (now - self.started, decision)]
        return True

    def link(self, context: Any, relation: str) -> bool:
        """Link the call's span to a cause; False if there is none or there are too many."""
        if context is None or len(self.links) >= MAX_LINKS:
            return False
        self.links = [*self.links, Link(context, relation)]
        return True

    def judge(self, status: int) -> None:
        """Settle the outcome by the final response's status, unless a policy has settled it."""
        if self.outcome is None:
            failed = status >= 500 or status in FAILED_STATUS
            self.outcome = "failure" if failed else "success"
            self.error = str(status) if failed else None

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name not in _OF_THIS_PROCESS}
        ended = self.started + self.duration
        return kept | {"url": redacted(self.url), "ended": ended}

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.outcome or 'under way'} {len(self.attempts)} attempts>"


_OF_THIS_PROCESS = frozenset({"clock", "span", "scope", "body", "sent", "opener", "override"})
FAILED_STATUS = frozenset({408, 425, 429})
"""Final answers below 500 with which a call has failed: the origin did not do as asked, and says to come again."""
