"""A child process starts with fresh pools: two processes that write to one socket garble each other's requests."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """What belongs to one process: the connections of a transport, and locks that a thread of the parent may hold."""

    def renew(self) -> None:
        """Start again without it; an inherited connection is not to be written to."""
        ...


_wires: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(wire: Renewable) -> None:
    """Renew this in every child process, for as long as it lives."""
    _wires.add(wire)


def _renew() -> None:
    for wire in list(_wires):
        wire.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew)
