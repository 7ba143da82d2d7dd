"""The tree of a call: what it says at every width, of every kind of end."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console

import spanwire
from spanwire.cli import words
from spanwire.cli.record import Recorder
from spanwire.cli.tree import Tree
from spanwire.decisions import Decision
from spanwire.testing import FakeClock


def drawn(recorder: Recorder, of: httpx.Response | BaseException, width: int = 100) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(Tree(recorder.story(spanwire.report(of))))
    return out.getvalue().splitlines()


def called(clock: FakeClock, *statuses: int, recorder: Recorder) -> httpx.Response:
    """The last response of a call whose attempts are answered so, each after 20 ms."""
    left = list(statuses)

    def answer(_: httpx.Request) -> httpx.Response:
        clock.advance(0.02)
        return httpx.Response(left.pop(0))

    retry = spanwire.Retry(backoff=spanwire.Fixed(seconds=0.5))
    wire = httpx.MockTransport(answer)
    policy = spanwire.Policy(retry=retry)
    with spanwire.Client(transport=wire, policy=policy, clock=clock, listeners=[recorder]) as client:
        return client.get("http://x.test/a?token=sesame")


def test_times_add_up_to_a_waterfall(clock: FakeClock) -> None:
    recorder = Recorder()
    lines = drawn(recorder, called(clock, 503, 200, recorder=recorder), 86)
    assert lines[0] == "✔ GET http://x.test/a?token=REDACTED"
    assert lines[1] == "  success after 2 attempts in 540 ms"
    rows = [line for line in lines if "├─ " in line or "└─ " in line]
    assert [row.split("─ ", 1)[1].split() for row in rows if "retry scheduled" not in row] == [
        ["attempt", "1", "→", "503", "Service", "Unavailable", "20", "ms", "━"],
        ["wait", "backoff", "500", "ms", "───────────────────"],
        ["attempt", "2", "(retry)", "→", "200", "OK", "20", "ms", "━"],
    ]
    assert [row.index("━") for row in (rows[0], rows[-1])] == [66, 85]
    assert "time backoff 500 ms · attempt 40 ms" in lines[-2]


def test_a_narrow_terminal_gets_no_waterfall(clock: FakeClock) -> None:
    recorder = Recorder()
    lines = drawn(recorder, called(clock, 503, 200, recorder=recorder), 50)
    assert max(map(len, lines)) <= 50
    assert not any("━" in line for line in lines)
    assert sum("·" in line for line in lines) >= 2, "the evidence is folded"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.0 ms"), (0.00042, "0.4 ms"), (0.0123, "12 ms"), (0.9991, "999 ms"), (1.25, "1.25 s"), (3600, "3600 s")],
)
def test_durations_are_short(value: float, shown: str) -> None:
    assert words.seconds(value) == shown


def test_statuses_have_names_where_there_are_any() -> None:
    assert words.status(503) == "503 Service Unavailable"
    assert words.status(599) == "599"


def decided(mode: str) -> list[Decision]:
    """What a breaker that opens at once decides in two calls."""
    breaker = spanwire.CircuitBreaker(consecutive_failures=1, mode=mode)
    wire, policy = (
        httpx.MockTransport(lambda _: httpx.Response(500)),
        spanwire.Policy(retry=None, circuit_breaker=breaker),
    )
    with spanwire.Client(transport=wire, policy=policy) as client:
        return [it for _ in range(2) for it in spanwire.report(client.get("http://x.test/")).decisions]


def test_a_transition_is_told_by_its_states_and_the_telling_evidence_first() -> None:
    opened = decided("observe")[0]
    assert words.title(opened) == "circuit breaker closed → open: consecutive failures (only observed)"
    evidence = words.evidence(opened)
    assert evidence[:2] == ["failures 1", "total 1"]
    assert "window 30.00 s" in evidence
    assert evidence.index("slow 0") > evidence.index("window 30.00 s")
    assert not any("x.test" in piece or "enforced" in piece for piece in evidence)


def test_what_was_only_observed_says_so() -> None:
    assert "circuit breaker rejected: open (only observed)" in map(words.title, decided("observe"))
