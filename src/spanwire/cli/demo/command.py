"""Sets the stage, lets the demo run, and clears up after it."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from ...telemetry import setup
from ...testing.origin import Answer, FaultyOrigin, Seen
from ..consoles import console
from ..exits import Exit
from ..quiet import quiet
from .gauges import Gauges
from .headless import Lines
from .load import Callers, policy
from .screen import Screen
from .script import Script
from .summary import summary
from .watch import Board

_FRAME = 0.125
"""Seconds between two pictures."""


def demo(options: argparse.Namespace) -> int:
    """Run the command. Ctrl-C ends it early, with its summary."""
    out, board = console(), Board(Script(options.duration), time.monotonic)
    show = _lines if options.headless or not out.is_terminal else _live
    watches = {name: board.watch(name) for name in ("sync", "async")}
    with quiet(), _metrics(options.port) as page, Stop() as stop:
        gauges = Gauges()
        with FaultyOrigin() as origin:
            _follow(origin, board, random.Random(options.seed))
            with Callers(origin.url, policy(options.duration), options.seed, watches) as callers:
                show(out, Screen(board, callers, gauges, origin.url, page), stop)
        out.print(summary(board))
    return Exit.SUCCESS


def _follow(origin: FaultyOrigin, board: Board, chance: random.Random) -> None:
    """From now on the origin follows the script. It need not remember its requests: there will be many."""

    def answer(_: Seen) -> Answer:
        origin.requests.clear()
        return board.script.answer(board.clock(), chance)

    board.script.began = board.clock()
    origin.script(answer)


@contextlib.contextmanager
def _metrics(port: int) -> Iterator[str]:
    """Within it the process's metrics are served, at the address that it yields."""
    finish = setup(os.environ.get("OTEL_SERVICE_NAME") or "spanwire-demo", prometheus_port=port)
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        finish()


class Stop:
    """Whether someone asked for an early end, by Ctrl-C or a signal; a second one is not waited for."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _ask(self, *_: object) -> None:
        self.asked = True
        self.__exit__()


def _frames(screen: Screen, stop: Stop) -> Iterator[None]:
    """The moments to draw at, until the demo is over."""
    script = screen.board.script
    while screen.board.clock() < script.began + script.duration and screen.callers.running and not stop.asked:
        yield
        time.sleep(_FRAME)


def _live(out: Console, screen: Screen, stop: Stop) -> None:
    with Live(screen, console=out, screen=True, auto_refresh=False) as live:
        for _ in _frames(screen, stop):
            live.refresh()


def _lines(out: Console, screen: Screen, stop: Stop) -> None:
    lines = Lines(out, screen)
    for _ in _frames(screen, stop):
        lines.show()
    lines.end()
