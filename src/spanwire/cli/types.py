"""The kinds of values that arguments have."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number, 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """Seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} should be a number of seconds above 0")
    return value


def port(text: str) -> int:
    """A port, 1 to 65535."""
    value = count(text) if text.isdecimal() else 0
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} should be a port from 1 to 65535")
    return value
