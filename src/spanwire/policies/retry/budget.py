"""The retry budget: a bucket of tokens that all calls of a client share.

The rules of the AWS SDKs of 2026: a retry takes tokens, more after a transient failure than after throttling; a success
at the first attempt puts one back, a success at a retry what that retry took. Where more than about a fifth of the
attempts fail the bucket drains, and an overloaded origin is no longer asked three times as often.
"""

from __future__ import annotations

import os
import threading
import weakref

from .config import RetryBudget


class Budget:
    """The tokens of one client; safe for its threads. A retry takes them before its wait, so sleeping ones count."""

    __slots__ = ("__weakref__", "_lock", "available", "capacity", "success_refund")

    def __init__(self, config: RetryBudget) -> None:
        self.capacity = config.capacity
        self.success_refund = config.success_refund
        self.available = config.capacity
        """Tokens in the bucket now."""
        self._lock = threading.Lock()
        _budgets.add(self)

    def take(self, tokens: float) -> bool:
        """Take tokens; False, and nothing taken, if there are fewer."""
        with self._lock:
            if self.available < tokens:
                return False
            self.available -= tokens
            return True

    def refund(self, tokens: float) -> None:
        """Put tokens back; what the bucket cannot hold is lost."""
        with self._lock:
            self.available = min(self.capacity, self.available + tokens)

    def succeeded(self) -> None:
        """A call succeeded at its first attempt. A full bucket, as it mostly is, is not even locked."""
        if self.available < self.capacity:
            self.refund(self.success_refund)

    def __repr__(self) -> str:
        return f"<Budget {self.available:g}/{self.capacity:g}>"


_budgets: weakref.WeakSet[Budget] = weakref.WeakSet()


def _after_fork() -> None:
    """A lock that another thread held at the fork is never released in the child."""
    for budget in list(_budgets):
        budget._lock = threading.Lock()


# Windows has no fork.
getattr(os, "register_at_fork", lambda **hooks: None)(after_in_child=_after_fork)
