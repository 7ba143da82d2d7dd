"""The consoles to print on: colour on a terminal, plain elsewhere; `NO_COLOR` and `FORCE_COLOR` have their way."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console

_WIDTH_OF_A_FILE = 110


def console(*, stderr: bool = False) -> Console:
    """A console on stdout, or on stderr. What the terminal's encoding lacks becomes `?` rather than an error."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH_OF_A_FILE
    return made
