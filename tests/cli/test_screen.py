"""The demo's screen and its summary, drawn from calls on a clock that stands still: no demo runs."""

from __future__ import annotations

import contextlib
import io
import random
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console, RenderableType

import spanwire
from spanwire.cli.demo.gauges import AVAILABLE, CAPACITY
from spanwire.cli.demo.screen import Screen
from spanwire.cli.demo.script import Script
from spanwire.cli.demo.summary import summary
from spanwire.cli.demo.watch import Board
from spanwire.cli.words import NOTHING, TIMES
from spanwire.testing import FakeClock

URL = "http://x.test"


def drawn(what: RenderableType, width: int, height: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, highlight=False)
    console.print(what, height=height) if isinstance(what, Screen) else console.print(what)
    return out.getvalue().splitlines()


@pytest.fixture
def board(clock: FakeClock) -> Board:
    """A board that has seen 20 calls at 503, of which half were refused by the breaker."""
    script = Script(30)
    made, script.began = Board(script, clock), clock()
    clock.advance(10)
    breaker = spanwire.CircuitBreaker(consecutive_failures=20)
    policy = spanwire.Policy(retry=spanwire.Retry(max_attempts=2), circuit_breaker=breaker)
    wire = httpx.MockTransport(lambda _: httpx.Response(503))
    watches, made_by = (
        {name: made.watch(name) for name in ("sync", "async")},
        {"clock": clock, "random": random.Random(1)},
    )
    with spanwire.Client(transport=wire, policy=policy, listeners=[watches["sync"]], **made_by) as client:  # type: ignore[arg-type]
        for _ in range(20):
            with contextlib.suppress(spanwire.CircuitOpen):
                client.get(f"{URL}/a?token=sesame")
    return made


@pytest.fixture
def screen(board: Board) -> Screen:
    """The screen of a demo whose sync client's breaker is open."""
    states = {"sync": "open", "async": "half_open"}
    clients = {name: SimpleNamespace(circuit_breakers={URL: SimpleNamespace(state=it)}) for name, it in states.items()}
    values = {(AVAILABLE, "demo-sync"): 30.0, (CAPACITY, "demo-sync"): 500.0, ("spanwire.retry.attempts", "x"): 12.0}
    callers: Any = SimpleNamespace(clients=clients)
    gauges: Any = SimpleNamespace(read=lambda: values)
    return Screen(board, callers, gauges, URL, "http://127.0.0.1:9464/metrics")


@pytest.mark.parametrize(("width", "height"), [(60, 18), (80, 24), (130, 45)])
def test_it_fills_any_terminal_and_overflows_none(screen: Screen, width: int, height: int) -> None:
    lines = drawn(screen, width, height)
    assert height - 1 <= len(lines) <= height
    assert max(map(len, lines)) <= width


def test_it_shows_what_callers_notice(screen: Screen) -> None:
    lines = drawn(screen, 80, 24)
    assert lines[0].split("  ")[:2] == ["spanwire demo", "503"]
    (sync,) = (line.split() for line in lines if line.startswith(f"sync {TIMES}4"))
    assert sync[2:7] == ["20", "0", "10", "10", "10"], "calls, ok, failed, refused, retries"
    assert sync[7:11] == ["●", "open", "░░░░░", "30"]
    (other,) = (line.split() for line in lines if line.startswith(f"async {TIMES}8"))
    assert other[7:] == ["●", "half", "open", NOTHING, NOTHING, NOTHING]


def test_decisions_of_a_kind_are_one_line_with_a_count(screen: Screen) -> None:
    lines = drawn(screen, 140, 40)
    told = [" ".join(line.split()[2:8]) for line in lines if " s  sync " in line]
    assert told == [
        f"sync {TIMES}10 retry scheduled: status outcome",
        f"sync {TIMES}10 retry exhausted: max attempts",
        "sync circuit breaker closed → open:",
        f"sync {TIMES}10 circuit breaker rejected: open",
    ]


def test_metrics_are_named_as_prometheus_names_them(screen: Screen) -> None:
    text = "\n".join(drawn(screen, 80, 24))
    assert "retry_attempts_total 12 " in text
    assert "spanwire_* at http://127.0.0.1:9464/metrics" in text


def test_the_summary_compares_the_origin_with_its_callers(board: Board) -> None:
    text = "\n".join(drawn(summary(board), 200, 40))
    assert "The origin failed 100% of 20 requests. Of 20 calls, 50% failed for their callers" in text
    assert "50% were refused at once by an open breaker." in text
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["503", "all"], "phases without calls are left out"
    assert "failure (503) after 2 attempts" in text
    assert "sesame" not in text


def test_an_early_end_has_a_summary_too() -> None:
    empty = Board(Script(30), lambda: 0.0)
    empty.watch("sync")
    text = "\n".join(drawn(summary(empty), 100, 40))
    assert "The origin failed 0% of 0 requests." in text
    assert "What next:" in text
