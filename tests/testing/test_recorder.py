"""The recorder: what a call does, as lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import httpx
import pytest

from spanwire import Fixed, Policy, Retry
from spanwire.call import Attempt, Call
from spanwire.decisions import ENFORCED, Attribute, Decision, reason
from spanwire.testing import Answer, FakeClock, FaultyOrigin, Recorder
from tests.testing.colours import Colour

PATIENT = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.1)), circuit_breaker=None)


def test_it_logs_attempts_decisions_and_waits_in_order(
    colour: Colour, origin: FaultyOrigin, clock: FakeClock, recorder: Recorder
) -> None:
    origin.script(503, 200)
    client = colour.client(policy=PATIENT, clock=clock, listeners=[recorder])
    colour.get(client, origin.url)
    assert recorder.log == [
        "attempt 1 503",
        "retry.scheduled status backoff 0.1s",
        "wait backoff 0.1s",
        "attempt 2 200",
    ]
    assert recorder.attempts == ["attempt 1 503", "attempt 2 200"]
    assert recorder.waits == ["wait backoff 0.1s"]


def test_it_gives_the_evidence_of_a_decision(
    colour: Colour, origin: FaultyOrigin, clock: FakeClock, recorder: Recorder
) -> None:
    origin.script(503, 200)
    colour.get(colour.client(policy=PATIENT, clock=clock, listeners=[recorder]), origin.url)
    (scheduled,) = recorder.decisions("retry.scheduled")
    assert scheduled.evidence()["spanwire.retry.outcome"] == "503"
    assert recorder.decisions("spanwire.retry.scheduled") == recorder.decisions() == [scheduled]
    assert recorder.decisions("retry.denied") == []


def test_it_keeps_the_calls_that_ended_and_can_forget(colour: Colour, origin: FaultyOrigin, recorder: Recorder) -> None:
    colour.get(colour.client(listeners=[recorder]), origin.url)
    assert [call.outcome for call in recorder.calls] == ["success"]
    assert repr(recorder) == "<Recorder ['attempt 1 200']>"
    recorder.clear()
    assert (recorder.log, recorder.calls, recorder.decisions()) == ([], [], [])


def test_it_names_the_error_of_an_attempt(colour: Colour, origin: FaultyOrigin, recorder: Recorder) -> None:
    origin.script(Answer(fault="hang_up"), 200)
    colour.get(colour.client(policy=PATIENT, listeners=[recorder]), origin.url)
    assert recorder.attempts == [f"attempt 1 {httpx.__name__}.RemoteProtocolError", "attempt 2 200"]


@pytest.mark.parametrize(
    ("kind", "status", "line"), [("probe", 200, "attempt 1 probe 200"), ("hedge", None, "attempt 1 hedge cancelled")]
)
def test_it_names_the_kind_of_an_unusual_attempt(recorder: Recorder, kind: str, status: int | None, line: str) -> None:
    attempt = Attempt(1, kind, 0.0)
    end = recorder.attempt(None, attempt, None)  # type: ignore[arg-type]
    attempt.status = status
    end()
    assert recorder.log == [line]


def test_a_wait_of_unknown_length_has_none_in_its_line(recorder: Recorder) -> None:
    call: Call = None  # type: ignore[assignment]
    recorder.wait(call, "coalesce", None)
    assert recorder.log == ["wait coalesce"]


@dataclass(frozen=True, slots=True)
class Refused(Decision):
    NAME: ClassVar[str] = "spanwire.testing.refused"

    reason: Annotated[str, reason("full", "late")]
    note: Annotated[str, Attribute("spanwire.testing.note", "Free text.")]
    enforced: Annotated[bool, ENFORCED] = True


@pytest.fixture(autouse=True)
def _undeclared() -> None:
    from spanwire.decisions import DECISIONS

    DECISIONS.pop(Refused.NAME, None)  # it belongs to no policy


def test_a_line_has_what_is_the_same_in_every_run(recorder: Recorder) -> None:
    recorder.decided(None, Refused("late", "at 12:03:04", enforced=False))
    recorder.decided(None, Refused("full", "at 12:03:05"))
    assert recorder.log == ["testing.refused late observed", "testing.refused full"]
