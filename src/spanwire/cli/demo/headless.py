"""The demo in lines of text: each phase as it begins, and as it ends what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from .screen import Screen, told_line

_MOST = 8
"""Decisions that are told of a phase."""


class Lines:
    """Prints what has happened since it was last asked to."""

    def __init__(self, out: Console, screen: Screen) -> None:
        self._out, self._screen, self._board = out, screen, screen.board
        self._phase = -1
        self._out.print(Text(f"The origin is {screen.origin}, the metrics are {screen.page}"))

    def show(self) -> None:
        """Print the end of a phase that is over, and the beginning of the next."""
        board = self._board
        index = board.script.at(board.clock())[0]
        while self._phase < index:
            self.end()
            self._phase += 1
            phase = board.script.phases[self._phase]
            begins = board.script.duration * [0.0, *board.script.ends()][self._phase]
            head = Text(f"\n{begins:5.1f} s  ", "dim").append(phase.name, "not dim bold cyan")
            self._out.print(head.append(f": {phase.about}", "not dim"))

    def end(self) -> None:
        """Print what came of the phase under way."""
        if self._phase >= 0:
            for line in (*self._clients(), *self._decisions()):
                self._out.print(line)

    def _clients(self) -> Iterator[Text]:
        board = self._board
        for name, state in self._screen.states().items():
            with board.lock:
                tally = board.phases[name][self._phase].copy()
            ended = f"{tally['success']} ok, {tally['failure']} failed, {tally['rejected']} refused"
            more = f"retries {tally['retries']}; breaker {state.replace('_', ' ')}"
            yield Text(f"         {name:<6} {tally['calls']} calls: {ended}; {more}")

    def _decisions(self) -> list[Text]:
        with self._board.lock:
            told = [told for told in self._board.told if told.phase == self._phase]
        return [told_line(one, self._out.width) for one in told[:_MOST]]
