"""Limits that a dripping origin cannot stretch, for the sync wire, where nothing can be cut off.

A timeout of a socket is for each read: an origin that sends its header byte by byte, or one `102 Processing` after the
other, would keep a call for as long as it likes. So whoever sends notes for its thread until when it may wait, and each
read and write on a socket takes no longer than what is left of that.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import httpcore2

PIECE = 1 << 16
"""Bytes that are written at once under a limit: the time of each piece is what is left."""


class _Here(threading.local):
    until: float | None = None
    """The time, by `time.monotonic`, until which this thread may wait at a socket; None for no limit of this kind."""


_here = _Here()


class Bounded:
    """Within it this thread waits at sockets of `bind` no longer than until then. A class: a generator costs thrice."""

    __slots__ = ("_before", "_until")

    def __init__(self, until: float | None) -> None:
        self._until = until

    def __enter__(self) -> None:
        self._before, _here.until = _here.until, self._until

    def __exit__(self, *error: object) -> None:
        _here.until = self._before


def until(seconds: float | None) -> float | None:
    """When so many seconds from now are over."""
    return None if seconds is None else time.monotonic() + seconds


def bind(stream: Any) -> None:
    """Have a socket keep to the limit of the thread that uses it."""
    stream.read = partial(_read, stream.read)
    stream.write = partial(_write, stream.write)


def _read(read: Any, max_bytes: int, timeout: float | None = None) -> bytes:
    if _here.until is not None:
        timeout = _left(timeout, _here.until, httpcore2.ReadTimeout)
    data: bytes = read(max_bytes, timeout)
    return data


def _write(write: Any, buffer: bytes, timeout: float | None = None) -> None:
    end = _here.until
    if end is None or not buffer:
        return write(buffer, timeout)  # type: ignore[no-any-return]
    view = memoryview(buffer)
    for start in range(0, len(view), PIECE):
        write(view[start : start + PIECE], _left(timeout, end, httpcore2.WriteTimeout))


def _left(timeout: float | None, end: float, error: type[httpcore2.TimeoutException]) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise error("the time that was left for the attempt is over")
    return left if timeout is None or left < timeout else timeout
