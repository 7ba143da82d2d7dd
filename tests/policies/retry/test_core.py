import dataclasses
import math
from random import Random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwire.errors import AttemptTimeout, CircuitOpen, DeadlineExceeded
from spanwire.policies.retry.backoff import Exponential, Fixed
from spanwire.policies.retry.budget import Budget
from spanwire.policies.retry.config import Retry, RetryBudget
from spanwire.policies.retry.core import (
    Facts,
    Outcome,
    cause_of,
    decide,
    delay_after,
    denied,
    gave_up,
    is_final,
    named,
    speaks_for_itself,
)
from spanwire.policies.retry.decisions import CAUSE, WHY_NOT, Denied, Exhausted, Scheduled

REQUEST = httpx.Request("GET", "http://origin.test/")


def answer(status, attempt=1, **headers):
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return Outcome(REQUEST, httpx.Response(status, headers=headers), None, attempt)


def error(cause, attempt=1):
    return Outcome(REQUEST, None, cause, attempt)


def facts(outcome=None, **more):
    found = {
        "outcome": outcome or answer(503),
        "cause": "status",
        "idempotent": True,
        "replayable": True,
        "max_attempts": 3,
        "delay": 0.1,
        "delay_source": "backoff",
        "asked": None,
        "max_retry_after": 60.0,
        "deadline_left": 30.0,
        "budget": Budget(RetryBudget()),
        "cost": 14.0,
    }
    return Facts(**(found | more))


# -- outcomes ------------------------------------------------------------------------------------------------------


def test_an_outcome_is_named_by_its_status_or_its_error():
    assert answer(503).name == "503"
    assert error(httpx.ReadTimeout("slow")).name == "ReadTimeout"


@pytest.mark.parametrize(
    ("status", "failed"), [(200, False), (404, False), (408, True), (429, True), (500, True), (599, True)]
)
def test_an_outcome_has_failed_where_its_call_would_have(status, failed):
    assert answer(status).failed is failed
    assert error(OSError()).failed


# -- what was wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (answer(200), None),
        (answer(404), None),
        (answer(501), None),
        (answer(500), "status"),
        (answer(408), "status"),
        (answer(503), "status"),
        (answer(429), "throttled"),
        (answer(503, retry_after="3"), "throttled"),
        (answer(503, retry_after_ms="30"), "throttled"),
        (answer(502, retry_after="3"), "status"),
        (answer(409, x_should_retry="true"), "server_asked"),
        (answer(200, x_should_retry="true"), None),
        (answer(503, x_should_retry="false"), None),
        (answer(503, x_should_retry="maybe"), "status"),
        (error(httpx.PoolTimeout("")), "pool"),
        (error(httpx.ConnectTimeout("")), "connect"),
        (error(httpx.ConnectError("")), "connect"),
        (error(httpx.ReadTimeout("")), "timeout"),
        (error(httpx.WriteTimeout("")), "timeout"),
        (error(AttemptTimeout("")), "timeout"),
        (error(httpx.ReadError("")), "network"),
        (error(httpx.CloseError("")), "network"),
        (error(httpx.RemoteProtocolError("")), "protocol"),
        (error(httpx.LocalProtocolError("")), None),
        (error(httpx.UnsupportedProtocol("")), None),
        (error(httpx.ProxyError("")), None),
        (error(CircuitOpen("")), None),
        (error(DeadlineExceeded("")), None),
        (error(ValueError()), None),
    ],
    ids=lambda value: (
        f"{value.name}-{dict(value.response.headers) if value.response else ''}"
        if isinstance(value, Outcome)
        else str(value)
    ),
)
def test_what_is_retried_by_default_and_what_it_is_called(outcome, cause):
    assert cause_of(outcome, Retry()) == cause


def test_what_the_origin_says_of_retrying_can_be_ignored():
    config = Retry(respect_retry_after=False)
    assert cause_of(answer(503, x_should_retry="false"), config) == "status"
    assert cause_of(answer(409, x_should_retry="true"), config) is None


def test_other_statuses_and_errors_take_the_place_of_the_default_ones():
    config = Retry(on_status=[202], on_exception=[OSError])
    assert cause_of(answer(202), config) == "custom"
    assert cause_of(answer(503), config) is None
    assert cause_of(error(ConnectionError()), config) == "custom"
    assert cause_of(error(httpx.ReadError("")), config) is None


def test_no_setting_makes_a_refusal_retried():
    assert cause_of(error(CircuitOpen("")), Retry(on_exception=[Exception])) is None


def test_only_an_attempts_own_timeout_is_not_final():
    assert all(is_final(error) for error in (CircuitOpen(""), DeadlineExceeded("")))
    assert not any(is_final(error) for error in (AttemptTimeout(""), httpx.ReadTimeout(""), None))


@given(st.integers(100, 599))
def test_every_status_that_somebody_wants_retried_has_a_name(status):
    assert named(answer(status)) in CAUSE.values


# -- how long to wait ----------------------------------------------------------------------------------------------


def test_what_the_origin_asked_for_is_a_floor_under_our_own_backoff():
    random = Random(1)
    assert delay_after(answer(503), Fixed(seconds=2), None, random) == (2, "backoff")
    assert delay_after(answer(503), Fixed(seconds=2), 1.0, random) == (2, "backoff")
    delay, source = delay_after(answer(503), Fixed(seconds=2), 10.0, random)
    assert 10 <= delay <= 12
    assert source == "retry_after"


def test_retry_after_zero_leaves_our_own_backoff_so_that_nobody_loops_hot():
    assert delay_after(answer(503), Fixed(seconds=2), 0.0, Random(1)) == (2, "backoff")


@given(st.integers(1, 50), st.none() | st.floats(0, 1e9), st.randoms(use_true_random=False))
def test_no_wait_is_shorter_than_asked(attempt, asked, random):
    delay, _ = delay_after(answer(503, attempt), Exponential(), asked, random)
    assert delay >= (asked or 0)


# -- whether -------------------------------------------------------------------------------------------------------


def test_a_retry_is_scheduled_with_its_evidence_and_paid_for():
    budget = Budget(RetryBudget())
    assert decide(facts(budget=budget)) == Scheduled("status", 1, "503", 0.1, "backoff", 486, 30)
    assert repr(budget) == "<Budget 486/500>"


def test_without_budget_or_deadline_nothing_is_said_of_them():
    decision = decide(facts(budget=None, deadline_left=math.inf))
    assert (decision.budget_left, decision.deadline_left) == (None, None)
    assert "spanwire.retry.budget_left" not in decision.evidence()


def low():
    budget = Budget(RetryBudget(capacity=20))
    budget.take(10)
    return budget


@pytest.mark.parametrize(
    ("why_not", "given"),
    [
        ("not_retryable", {"cause": None}),
        ("not_idempotent", {"idempotent": False}),
        ("not_replayable", {"replayable": False}),
        ("max_attempts", {"outcome": answer(503, 3)}),
        ("retry_after_too_long", {"asked": 61.0, "delay": 65.0}),
        ("retry_after_too_long", {"asked": math.inf, "delay": math.inf, "deadline_left": math.inf}),
        ("deadline", {"delay": 30.0}),
        ("deadline", {"delay": math.inf, "deadline_left": math.inf}),
        ("deadline", {"outcome": error(DeadlineExceeded("")), "cause": None}),
        ("budget", {"budget": low()}),
    ],
)
def test_each_rule_denies_with_its_own_reason(why_not, given):
    decision = decide(facts(**given))
    assert decision.reason == why_not
    assert isinstance(decision, Exhausted if why_not == "max_attempts" else Denied)


def test_the_first_rule_that_applies_is_the_reason():
    everything = {
        "idempotent": False,
        "replayable": False,
        "outcome": answer(503, 3),
        "asked": 99.0,
        "delay": 99.0,
        "budget": low(),
    }
    reasons = []
    for mended in (
        {"idempotent": True},
        {"replayable": True},
        {"outcome": answer(503)},
        {"asked": 1.0},
        {"delay": 1.0},
    ):
        reasons.append(decide(facts(**everything)).reason)
        everything |= mended
    reasons.append(decide(facts(**everything)).reason)
    assert reasons == ["not_idempotent", "not_replayable", "max_attempts", "retry_after_too_long", "deadline", "budget"]


def test_a_denial_takes_nothing_from_the_budget():
    budget = Budget(RetryBudget())
    decide(facts(budget=budget, idempotent=False))
    assert repr(budget) == "<Budget 500/500>"


def test_a_denial_tells_the_attempts_that_were_left_and_the_wait_that_would_have_been():
    assert decide(facts(idempotent=False)) == Denied("not_idempotent", 1, "503", 2, 0.1, 500, 30)
    assert decide(facts(cause=None)).delay is None, "there would have been none"
    assert decide(facts(delay=math.inf)).delay is None, "telemetry has no infinity"


def test_attempts_left_are_never_negative():
    assert denied("cancelled", facts(answer(503, 5))).attempts_left == 0


@st.composite
def any_facts(draw):
    return facts(
        answer(503, draw(st.integers(1, 5))),
        cause=draw(st.sampled_from([None, "status", "throttled"])),
        idempotent=draw(st.booleans()),
        replayable=draw(st.booleans()),
        max_attempts=draw(st.integers(1, 5)),
        asked=draw(st.none() | st.floats(0, 100)),
        delay=draw(st.floats(0, 100)),
        deadline_left=draw(st.floats(0, 100)),
    )


@given(any_facts())
def test_whatever_is_decided_says_why_in_a_closed_set(given):
    decision = decide(given)
    assert decision.reason in (CAUSE if isinstance(decision, Scheduled) else WHY_NOT).values
    assert all(value is not None for value in decision.evidence().values())


@given(any_facts())
def test_nothing_is_retried_that_may_not_be(given):
    if isinstance(decide(given), Scheduled):
        assert given.cause is not None
        assert given.idempotent
        assert given.replayable
        assert given.outcome.attempt < given.max_attempts
        assert given.delay < given.deadline_left
        assert given.asked is None or given.asked <= given.max_retry_after


# -- what needs no words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "silent"),
    [
        (answer(200), True),
        (answer(404), True),
        (answer(501), False),
        (error(CircuitOpen("")), True),
        (error(DeadlineExceeded("")), False),
        (error(ValueError()), False),
        (answer(200, 2), True),
        (answer(404, 2), False),
        (error(CircuitOpen(""), 2), False),
    ],
)
def test_answers_and_first_refusals_speak_for_themselves_and_failures_do_not(outcome, silent):
    assert speaks_for_itself(outcome) is silent


def test_giving_up_is_for_want_of_attempts_budget_or_time():
    last, posted = decide(facts(answer(503, 3))), decide(facts(idempotent=False))
    assert gave_up(last, answer(503, 3))
    assert not gave_up(posted, answer(503))
    assert gave_up(dataclasses.replace(last, deadline_left=None), answer(503, 3))
    assert not gave_up(dataclasses.replace(last, deadline_left=0.001), answer(503, 3)), "the deadline has its own error"
    assert not gave_up(decide(facts(error(DeadlineExceeded("")))), error(DeadlineExceeded("")))
