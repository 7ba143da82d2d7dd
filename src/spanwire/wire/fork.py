"""A child process starts with fresh pools: two processes that write to one socket garble each other's requests."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """A transport that can forget its connections."""

    def renew(self) -> None:
        """Start again with no connections; what was inherited is not to be written to."""
        ...


_wires: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(wire: Renewable) -> None:
    """Renew this transport in every child process, for as long as it lives."""
    _wires.add(wire)


def _renew() -> None:
    for wire in list(_wires):
        wire.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew)
