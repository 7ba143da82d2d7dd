"""The total deadline of a call, outermost, and the deadline of each attempt, innermost.

In the async colour both are hard: the work is cancelled when the time is up. In the sync colour nothing can be
cancelled: the timeouts of each phase are cut to what remains before each attempt, so that a silent origin ends in time,
and the body is checked at each chunk, so that a slow drip ends at the next one.
"""

from __future__ import annotations

import math

import httpx

from ...call import CALL, CUT, LEFT, Call
from ...errors import AttemptTimeout, DeadlineExceeded
from ...kit import Kit, Layer
from ...runtime.protocol import Next, Runtime
from .config import Timeout
from .decisions import DeadlinePassed

PHASE_TIMEOUTS = "spanwire.timeout"
"""The key of the phase timeouts that the caller asked for, where an attempt's were cut shorter."""
EARLY = 0.01
"""Seconds before the deadline from which a timeout is the deadline's: sockets fire early, as does the last attempt."""
_MARGIN = 0.005
"""Seconds that the last attempt ends before the call, so that the breaker hears a timeout and not a cancellation."""


class TotalDeadline(Layer[Timeout]):
    """Ends a call that has used up its total time."""

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        this: Call = request.extensions[CALL]
        if this.deadline is None:
            return await call(request)
        left = this.deadline - self.kit.clock()
        if left <= 0:
            raise exceeded(this, self.kit)
        try:
            if not io.cuts:
                return await call(request)
            with io.deadline(left):
                return await call(request)
        except (TimeoutError, httpx.TimeoutException) as error:
            if this.remaining(self.kit.clock()) > EARLY or isinstance(error, DeadlineExceeded):
                raise
            raise exceeded(this, self.kit) from error


def exceeded(this: Call, kit: Kit) -> DeadlineExceeded:
    """Tell that a call's time is up, and make the error that says so."""
    this.mark(this.phase, kit.clock())
    phase, seconds = max(this.phases.items(), key=lambda item: item[1])
    total = this.total or 0.0
    kit.signals.emit(DeadlinePassed(total, phase, seconds, len(this.attempts)), this)
    spent = ", ".join(
        f"{name} {value:.3f} s"
        for name, value in sorted(this.phases.items(), key=lambda item: -item[1])
        if value >= 0.001
    )
    return DeadlineExceeded(
        f"the total time of {total:g} s is used up, most of it by {phase} ({spent}; attempts: {len(this.attempts)}): "
        f"raise `timeout.total`, or lower `timeout.attempt` so that a further attempt fits",
        total=total,
        phase=phase,
        phases=dict(this.phases),
    )


class AttemptDeadline(Layer[Timeout]):
    """Ends an attempt that takes too long, and cuts its phase timeouts to what remains of the call."""

    def __init__(self, config: Timeout, kit: Kit, previous: AttemptDeadline | None = None) -> None:
        super().__init__(config, kit, previous)
        self._attempt = math.inf if config.attempt is None else config.attempt
        self._tells = config.propagate is not None or config.propagate_attempt is not None

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        this: Call = request.extensions[CALL]
        left = math.inf if this.deadline is None else this.deadline - self.kit.clock()
        if left <= 0:  # a sync wait or answer that could not be cut took too long: nothing is sent in no time
            raise exceeded(this, self.kit)
        limit = self._attempt if self._attempt < left else left - min(_MARGIN, left / 10)
        self._cut(request, limit)
        if self._tells:
            self._tell(request, left)
        if limit == math.inf:
            return await call(request)
        if not io.cuts:
            request.extensions[LEFT] = limit, None if left == math.inf else left
            return await call(request)
        request.extensions[CUT] = self.kit.clock() + limit
        try:
            with io.deadline(limit):
                return await call(request)
        except TimeoutError as error:
            which = (
                f"`timeout.attempt` = {self._attempt:g} s"
                if limit == self._attempt
                else f"the {limit:.3f} s that were left of `timeout.total`"
            )
            raise AttemptTimeout(f"the attempt took longer than {which}", request=request, seconds=limit) from error

    def _tell(self, request: httpx.Request, left: float) -> None:
        """Tell an origin that may know how much time is left, and which attempt this is; any other is told neither.

        A redirect brings the headers of the request before it along, so they are taken away where they do not belong.
        """
        this: Call = request.extensions[CALL]
        allowed = request.url.host.lower() in self.config.propagate_to
        values = {self.config.propagate: f"{max(left, 0.0):.3f}" if left != math.inf else None}
        values[self.config.propagate_attempt] = str(len(this.attempts) + 1)
        for header, value in values.items():
            if header is not None:
                request.headers.pop(header, None)
                if allowed and value is not None:
                    request.headers[header] = value

    def _cut(self, request: httpx.Request, limit: float) -> None:
        """Cut the phase timeouts of an attempt to a limit, always from what the caller asked for."""
        extensions = request.extensions
        asked = extensions.get(PHASE_TIMEOUTS)
        if asked is None:
            asked = extensions.get("timeout")
            if asked is None:
                asked = extensions["timeout"] = self.config.phases()
            for seconds in asked.values():
                if seconds is None or seconds > limit:
                    break
            else:
                return
            extensions[PHASE_TIMEOUTS] = asked
        limit = max(limit, 0.0)
        if limit == math.inf:
            extensions["timeout"] = asked
        else:
            extensions["timeout"] = {
                name: limit if seconds is None or seconds > limit else seconds for name, seconds in asked.items()
            }
