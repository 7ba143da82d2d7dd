"""What an origin says about asking again: pure readings of its headers, which never raise.

`Retry-After` is RFC 9110, section 10.2.3; `retry-after-ms` and `x-should-retry` are what several API vendors add.
"""

from __future__ import annotations

import datetime
import re
from email.utils import parsedate_to_datetime
from random import Random

import httpx

_NUMBER = re.compile(r"\d+(\.\d*)?", re.ASCII)
MOST_JITTER = 5.0
"""Seconds that are added at most to what the origin asked for."""


def asked(headers: httpx.Headers, wall: float) -> float | None:
    """The seconds that the origin asks to wait, None if it asks for nothing that can be understood.

    A date is compared with the answer's own `Date`, so that a wrong clock on either side does no harm, and else with
    `wall`, the time of day; one in the past asks for 0. Of several values, the longest counts: none is kept short.
    """
    found = [_milliseconds(text) for text in headers.get_list("retry-after-ms")]
    found += [_seconds(text, headers, wall) for text in headers.get_list("retry-after")]
    return max((seconds for seconds in found if seconds is not None), default=None)


def is_there(headers: httpx.Headers) -> bool:
    """Whether the origin says anything of the kind, understood or not."""
    return "retry-after" in headers or "retry-after-ms" in headers


def should_retry(headers: httpx.Headers) -> bool | None:
    """What `x-should-retry` says, None if it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def floor(seconds: float, random: Random) -> float:
    """The wait that was asked for, never less, and up to a fifth (at most 5 s) more, lest all come back at once."""
    return seconds + random.uniform(0, min(MOST_JITTER, 0.2 * seconds))


def _milliseconds(text: str) -> float | None:
    seconds = _number(text)
    return None if seconds is None else seconds / 1000


def _number(text: str) -> float | None:
    """A number of ASCII digits; one too large for a float is infinite, and so is never waited for."""
    return float(text) if _NUMBER.fullmatch(text := text.strip()) else None


def _seconds(text: str, headers: httpx.Headers, wall: float) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    date = _date(text)
    if date is None:
        return None
    now = _date(headers.get("date", ""))
    return max(0.0, date - (wall if now is None else now))


def _date(text: str) -> float | None:
    """An HTTP date in any of its three formats, as seconds of the epoch."""
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
