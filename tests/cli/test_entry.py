"""The command line itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spanwire import __version__
from spanwire.cli import entry
from spanwire.testing import Answer, FaultyOrigin
from tests.cli.conftest import Command, environment, python


def test_python_m_tells_the_version(spanwire: Command) -> None:
    assert spanwire("--version") == (0, f"spanwire {__version__}\n", "")


def test_help_tells_every_command(here: Command) -> None:
    told = here("--help")
    assert told.code == 0
    assert all(name in told.out for name in ("get", "demo", "examples"))
    assert "exit codes" in here("get", "--help").out
    assert "9464" in here("demo", "--help").out


def test_no_command_is_answered_with_help(here: Command) -> None:
    told = here()
    assert told.code == 2
    assert not told.out
    assert "usage: spanwire" in told.err


@pytest.mark.parametrize("command", ["get http://127.0.0.1/", "demo"])
def test_without_rich_one_line_names_the_extra(command: str) -> None:
    code = f"import sys; sys.modules['rich'] = None; from spanwire.cli import main; sys.exit(main({command.split()!r}))"
    assert python("-c", code) == (2, "", "spanwire: the command line needs `rich`: install spanwire[cli]\n")


def test_without_an_sdk_a_call_is_made_all_the_same(origin: FaultyOrigin) -> None:
    code = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'opentelemetry.sdk' else find(name, *more)\n"
        f"from spanwire.cli import main; sys.exit(main(['get', {origin.url!r}]))"
    )
    told = python("-c", code)
    assert told.code == 0, told.err
    assert "none: no OpenTelemetry SDK is at work" in told.out


def test_a_reader_that_goes_away_is_no_error(origin: FaultyOrigin) -> None:
    origin.script(Answer(body=b"x" * 10_000_000))
    command = [sys.executable, "-m", "spanwire", "get", origin.url, "--body"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(1)
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()
        assert running.wait(30) == 141


def test_ctrl_c_ends_it_quietly(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.get, "run", interrupted)
    assert here("get", "http://127.0.0.1/") == (130, "", "")
