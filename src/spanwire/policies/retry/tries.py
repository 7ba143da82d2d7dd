"""What is kept between the attempts of one request."""

from __future__ import annotations

import httpx

from ...call import Call
from ...errors import Rejected
from ..outcome import Outcome
from .budget import Budget


class Tries:
    """The number of the attempt under way, over all redirects of its call, and what it cost."""

    __slots__ = ("_budget", "number", "paid")

    def __init__(self, request: httpx.Request, budget: Budget | None) -> None:
        self._budget = budget
        self.number = 1 + sum(attempt.kind == "retry" for attempt in Call.of(request).attempts)
        self.paid = 0.0

    def settle(self, outcome: Outcome) -> None:
        """The outcome stands. Tokens come back for a success, and for a retry that was refused: it never left."""
        if not outcome.failed:
            self.succeeded()
        elif isinstance(outcome.error, Rejected):
            self.refund()

    def succeeded(self) -> None:
        """A success gives back what its retry took, or earns a token if it took none."""
        if self.paid:
            self.refund()
        elif self._budget is not None:
            self._budget.succeeded()

    def refund(self) -> None:
        """Give back what the last retry took."""
        if self._budget is not None:
            self._budget.refund(self.paid)
        self.paid = 0.0

    def __repr__(self) -> str:
        return f"<Tries {self.number} paid {self.paid:g}>"
