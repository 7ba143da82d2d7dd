"""The policy of `spanwire get`: from a file, else from the environment, with what the arguments change in it."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

from ...config import Part
from ...policies import Policy, Retry, Timeout
from ..exits import tell

P = TypeVar("P", bound=Part)


def policy(options: argparse.Namespace) -> Policy:
    """The policy that the arguments ask for; what it warns of is told.

    Raises:
        ConfigurationError: if it is impossible, naming the file and the field.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        base = Policy.from_file(options.policy) if options.policy else Policy.from_env()
        if changes := dict(_changes(base, options)):
            told.clear()
            base = _changed(base, **changes)
    for warning in told:
        tell(f"note: {warning.message}")
    return base


def _changes(base: Policy, options: argparse.Namespace) -> Iterator[tuple[str, Part]]:
    """The parts that the arguments change."""
    if options.retries is not None:
        yield "retry", _changed(base.retry or Retry(), max_attempts=options.retries + 1)
    if options.timeout is not None:
        timeout, total = base.timeout or Timeout(), options.timeout
        longer = "attempt" in timeout.model_fields_set and (timeout.attempt or 0.0) > total
        yield "timeout", _changed(timeout, total=total, **({"attempt": None} if longer else {}))


def _changed(part: P, **changes: Any) -> P:
    """A part with other settings, checked as if it had been written so."""
    return type(part)(**{**{name: getattr(part, name) for name in part.model_fields_set}, **changes})
