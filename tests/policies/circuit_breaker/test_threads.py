"""Many threads at one breaker: nothing is lost, and no more probes than allowed are out."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from spanwire.ledger import Account
from spanwire.policies.circuit_breaker import CircuitBreaker
from spanwire.policies.circuit_breaker.breakers import Breakers
from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS

from .helpers import closed, half_open, ticket

THREADS, ROUNDS = 8, 2000


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammer(work: Callable[[int], None]) -> None:
    """Let all threads begin at once; whatever one of them raises is raised here."""
    failures: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_no_outcome_is_lost_between_threads():
    breaker = closed(failure_ratio=1)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            breaker.settle(ticket(breaker, turn / ROUNDS), FAILURE if turn % 2 else SUCCESS, turn / ROUNDS)

    hammer(work)
    assert breaker.counts(1.0) == (THREADS * ROUNDS // 2, THREADS * ROUNDS)
    assert (breaker._tally.calls.value, breaker._in_flight) == (THREADS * ROUNDS, 0)


def test_never_more_probes_are_out_than_allowed_and_every_permit_comes_back():
    breaker, probe = half_open(half_open_max_calls=2, success_threshold=10**9)
    breaker.settle(probe, SUCCESS, 10.0)
    out, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal out, most
        chance = random.Random(number)
        for _ in range(ROUNDS):
            mine = ticket(breaker, 10.0)
            if mine.probe:
                with lock:
                    out += 1
                    most = max(most, out)
                with lock:
                    out -= 1
            breaker.settle(mine, chance.choice([SUCCESS, ABANDONED]), 10.0)

    hammer(work)
    assert most <= 2
    assert breaker.state == "half_open"
    assert (breaker._probes, breaker._in_flight) == (0, 0)


def test_every_change_of_state_is_told_once_and_in_an_unbroken_chain():
    breaker = closed(consecutive_failures=2, break_duration=0.001, max_break_duration=0.001, success_threshold=1)
    moves = []

    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(ROUNDS):
            mine = ticket(breaker, turn / 100)
            moves.extend(each for each in mine.told if each.NAME.endswith("transition"))
            moved = breaker.settle(mine, chance.choice([SUCCESS, FAILURE, ABANDONED]), turn / 100)
            if moved is not None:
                moves.append(moved)

    hammer(work)
    moves.sort(key=lambda moved: moved.generation)
    assert [moved.generation for moved in moves] == list(range(1, len(moves) + 1))
    assert all(after.left == before.entered for before, after in itertools.pairwise(moves))


def test_a_breaker_that_is_let_go_in_the_same_moment_loses_no_outcome():
    account = Account("billing")
    breakers = Breakers(CircuitBreaker(max_breakers=1), account)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            mine = breakers.acquire(f"http://h{turn % 3}", 0.0)
            assert not mine.breaker._retired
            mine.breaker.settle(mine, SUCCESS, 0.0)

    hammer(work)
    assert account.value("spanwire.circuit_breaker.calls") == THREADS * ROUNDS
    assert sum(breaker._in_flight for breaker in breakers.all()) == 0
