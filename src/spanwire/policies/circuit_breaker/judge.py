"""What an attempt says of the origin: success, failure, or nothing at all."""

from __future__ import annotations

import httpx

from ...call import ATTEMPT
from ...errors import DeadlineExceeded, Rejected
from ..outcome import Outcome
from .config import CircuitBreaker
from .states import ABANDONED, FAILURE, SUCCESS, Verdict

SAYS_NOTHING = (Rejected, DeadlineExceeded, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""Errors of the transport that tell nothing of the origin: it was never asked, or not properly."""


class Judge:
    """Tells failures from successes by the status and the kind of error, or as the user's `is_failure` has it."""

    def __init__(self, config: CircuitBreaker) -> None:
        self._is_failure = config.is_failure
        self._count_429 = config.count_429

    def answer(self, request: httpx.Request, response: httpx.Response) -> Verdict:
        """Judge a response by its headers: its body may be read by nobody, or for hours."""
        if self._is_failure is not None:
            return _verdict(self._is_failure(_outcome(request, response, None)))
        status = response.status_code
        return _verdict(status >= 500 or (status == 429 and self._count_429))

    def error(self, request: httpx.Request, error: BaseException) -> Verdict:
        """Judge an error: a cancellation, a refusal or a mistake on this side is no evidence of anything."""
        if not isinstance(error, httpx.TransportError) or isinstance(error, SAYS_NOTHING):
            return ABANDONED
        return _verdict(self._is_failure is None or self._is_failure(_outcome(request, None, error)))


def _verdict(failed: bool) -> Verdict:
    return FAILURE if failed else SUCCESS


def _outcome(request: httpx.Request, response: httpx.Response | None, error: httpx.TransportError | None) -> Outcome:
    attempt = request.extensions.get(ATTEMPT)
    return Outcome(request, response, error, 1 if attempt is None else attempt.number)
