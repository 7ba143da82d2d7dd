"""The commands, run here where that is enough, and in a process of their own where it matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from spanwire.cli import main
from tests.cli.servers import Receiver

Command = Callable[..., "Told"]


class Told(NamedTuple):
    """What a command ended with and said."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This process's, without what could turn the commands' heads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWIRE_"))}
    return {**kept, "NO_COLOR": "1", **more}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, without an SDK: its providers could be set but once."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "SPANWIRE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("COLUMNS", "110")

    def run(*arguments: str) -> Told:
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse's own
            code = int(end.code or 0)
        return Told(code, *capsys.readouterr())

    return run


def python(*arguments: str, stdin: str = "", **variables: str) -> Told:
    """Runs Python in a process of its own."""
    command, known = [sys.executable, *arguments], environment(**variables)
    ended = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True, timeout=25, env=known)
    return Told(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def spanwire() -> Command:
    """Runs a command in a process of its own."""
    return lambda *arguments, **more: python("-W", "error", "-m", "spanwire", *arguments, **more)
