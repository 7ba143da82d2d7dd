"""The demo's script, its time line, and what is shown of both: no clock but the one that is given."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from spanwire.cli.demo import chart
from spanwire.cli.demo.script import HANG, PHASES, Phase, Script
from spanwire.cli.demo.watch import SLICES, Board, Tally


def test_the_phases_share_the_whole_duration() -> None:
    assert sum(phase.share for phase in PHASES) == pytest.approx(1)
    assert Script(30).ends()[-1] == pytest.approx(1)


@pytest.mark.parametrize("duration", [8, 30, 600])
def test_phases_scale_with_the_duration(duration: float) -> None:
    script = Script(duration)
    script.began = 100.0
    names = [script.phases[script.at(100 + duration * share)[0]].name for share in (0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)]
    assert names == ["steady", "latency", "503", "resets", "outage", "recovery", "steady"]
    assert script.at(100 + duration * 0.06) == (0, pytest.approx(0.5))
    assert script.at(90) == (0, 0.0)
    assert script.at(100 + duration * 2) == (6, 1.0)
    assert repr(script) == f"<Script of 7 phases, {duration} s>"


def outcomes(phase: Phase, progress: float) -> Counter[object]:
    """What becomes of 1,000 requests: statuses, and faults and hanging by name."""
    chance = random.Random(3)
    answers = [phase.answer(progress, chance) for _ in range(1000)]
    return Counter("hangs" if it.delay == HANG else it.status if it.fault == "none" else it.fault for it in answers)


def test_each_phase_misbehaves_as_it_says() -> None:
    by_name = {phase.name: phase for phase in PHASES}
    assert outcomes(by_name["steady"], 0.5) == {200: 1000}
    assert outcomes(by_name["outage"], 0.5) == {"reset": 1000}
    assert 50 < outcomes(by_name["latency"], 0.5)["hangs"] < 120
    assert 330 < outcomes(by_name["503"], 0.1)[503] < 470
    assert outcomes(by_name["503"], 0.2) == {200: 1000}, "between two bursts"
    resets = outcomes(by_name["resets"], 0.5)
    assert 150 < resets["reset"] < 250
    assert 10 < resets["reset_midway"] < 60


def test_some_of_the_503_say_when_to_come_again() -> None:
    chance = random.Random(1)
    answers = [PHASES[2].answer(0.0, chance) for _ in range(1000)]
    assert 20 < sum("retry-after" in it.headers for it in answers if it.status == 503) < 80


def test_one_seed_is_one_story() -> None:
    first, second = (Script(8), random.Random(7)), (Script(8), random.Random(7))
    assert [first[0].answer(t / 10, first[1]) for t in range(80)] == [
        second[0].answer(t / 10, second[1]) for t in range(80)
    ]


def test_a_strip_shows_how_much_and_what_is_to_come() -> None:
    lines = chart.strip([8, 4, 0, 1, 0], ["green"] * 5, 1, until=3)
    assert [line.plain for line in lines] == ["█▄ ▁·"]
    tall = chart.strip([8, 4, 0, 1, 0], ["green"] * 5, 2, until=3)
    assert [line.plain for line in tall] == ["█    ", "██ ▂·"]


def test_colours_tell_how_many_failed() -> None:
    tallies = [
        Tally(calls=100, failure=1),
        Tally(calls=100, failure=10),
        Tally(calls=100, failure=50),
        Tally(calls=100, rejected=90),
        Tally(),
    ]
    assert chart.of_callers(tallies) == ([100, 100, 100, 100, 0], ["green", "yellow", "red", "magenta", "green"])
    assert chart.of_origin([Tally(attempts=10, failed_attempts=9)]) == ([10], ["red"])


def test_columns_lose_nothing() -> None:
    made = chart.columns([Tally(calls=1) for _ in range(SLICES)], 70)
    assert len(made) == 70
    assert sum(tally["calls"] for tally in made) == SLICES


def test_labels_stand_below_their_phases() -> None:
    text = chart.labels(Script(30), 70, current=4)
    assert text.plain.startswith("steady  latency")
    assert len(text) == 70
    assert [text.plain[span.start : span.end] for span in text.spans if "reverse" in str(span.style)] == ["outage"]


def test_percentiles_look_back_some_seconds_only() -> None:
    now = [100.0]
    board = Board(Script(30), lambda: now[0])
    board.watch("sync")
    assert board.percentile("sync", 0.5) is None
    board.took["sync"].extend((100.0 - age, age) for age in (1.0, 2.0, 3.0, 50.0))
    assert board.percentile("sync", 0.5) == 2.0
    assert board.percentile("sync", 0.95) == 3.0
