"""The three colours, which every other test stands on, and the watchdog over all of them."""

from __future__ import annotations

import contextvars
import subprocess
import sys
from pathlib import Path

import pytest

from spanwire.testing import FaultyOrigin
from tests.testing.colours import Colour

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


def test_a_client_of_each_colour_gets_an_answer(colour: Colour, origin: FaultyOrigin) -> None:
    response = colour.get(colour.client(), origin.url)
    assert (response.status_code, response.text) == (200, "ok")


def test_many_requests_are_under_way_at_once(colour: Colour, origin: FaultyOrigin) -> None:
    origin.script(lambda seen: 200)
    responses = colour.many(colour.client(), origin.url, 3)
    assert [response.status_code for response in responses] == [200, 200, 200]
    assert len(origin.requests) == 3


def test_errors_come_out_of_a_run_and_into_the_list_of_many(colour: Colour) -> None:
    async def failing() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        colour.run(failing())

    def sync_failing() -> None:
        raise KeyError("x")

    assert [type(error) for error in colour.at_once([failing if colour.is_async else sync_failing] * 2)] == [
        KeyError
    ] * 2


def test_a_plain_value_runs_to_itself(colour: Colour) -> None:
    assert colour.run(42) == 42


def test_context_variables_of_the_test_are_seen_inside(colour: Colour) -> None:
    async def seen() -> str:
        return variable.get("nothing")

    variable.set("something")
    assert colour.run(seen()) == "something"


def test_until_lets_the_loop_run(colour: Colour, origin: FaultyOrigin) -> None:
    done: list[bool] = []

    async def work() -> None:
        done.append(True)

    async def start() -> None:
        colour.runtime().spawn(work, "test")

    colour.run(start())
    colour.until(lambda: done)


def test_until_says_what_has_not_come_true(colour: Colour) -> None:
    with pytest.raises(AssertionError, match=r"not true within 0.01 s: .*lambda: False"):
        colour.until(lambda: False, 0.01)


HANGING = """
import threading, pytest

@pytest.mark.timeout(0.3)
def test_that_waits_for_ever():
    threading.Event().wait()

@pytest.mark.timeout(0.3)
@pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)
def test_that_waits_in_a_loop(colour):
    import anyio
    colour.run(anyio.sleep_forever())

def test_that_comes_after():
    pass
"""


def test_a_test_that_hangs_fails_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert "3 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "the test took longer than 0.3 s" in ended.stdout
    assert "most recent call first" in ended.stdout
