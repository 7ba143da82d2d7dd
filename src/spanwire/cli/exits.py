"""What the commands end with, and how they say what is wrong."""

from __future__ import annotations

import enum
import sys


class Exit(enum.IntEnum):
    """Exit codes; `spanwire get --help` tells them too."""

    SUCCESS = 0
    FAILED = 1
    """The call failed: a failed answer, or an error on the wire."""
    USAGE = 2
    """What was asked for is impossible; nothing was sent."""
    REJECTED = 3
    """A policy refused the call."""
    TIMEOUT = 4
    """Time ran out: the total, or an attempt's."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""
    BROKEN_PIPE = 141
    """Whoever read the output went away, as shells have it."""


def tell(message: str) -> None:
    """One line for the person at the terminal."""
    print(f"spanwire: {message}", file=sys.stderr)
