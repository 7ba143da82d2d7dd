import gc
import weakref

import httpx
import pytest

from spanwire.errors import AttemptTimeout, CircuitOpen, ClientClosed, DeadlineExceeded, RetryExhausted
from spanwire.policies.retry.backoff import Custom, Exponential, Fixed
from spanwire.policies.retry.config import Retry, RetryBudget
from spanwire.policies.retry.decisions import AVAILABLE, CAPACITY
from spanwire.policies.retry.policy import Retrying
from spanwire.policies.retry.tries import Tries
from tests.policies.retry.world import NOON, Cancelled, World

FIXED = Fixed(seconds=0.1)


def world(*answers, previous=None, **settings):
    return World(Retrying, Retry(**({"backoff": FIXED} | settings)), *answers, previous=previous)


# -- the way of a retry --------------------------------------------------------------------------------------------


def test_a_failed_response_is_drained_before_the_wait_so_that_its_connection_is_free():
    w = world(503, 200)
    assert w.send().status_code == 200
    assert w.log == ["send", "drain 503", "sleep 0.1", "send"]
    assert w.io.drains == [(65536, 1.0)]
    assert w.open == 1, "the answer, which is the caller's"


def test_each_retry_is_told_with_its_evidence():
    w = world(503, httpx.ReadTimeout("slow"), 200)
    w.send(total=30)
    assert w.names == ["scheduled status", "scheduled timeout"]
    first, second = w.told
    assert first.evidence() == {
        "spanwire.reason": "status",
        "spanwire.retry.attempt": 1,
        "spanwire.retry.outcome": "503",
        "spanwire.retry.delay": 0.1,
        "spanwire.retry.delay_source": "backoff",
        "spanwire.retry.budget_left": 486,
        "spanwire.retry.deadline_left": 30,
    }
    assert (second.attempt, second.outcome, second.budget_left, second.deadline_left) == (
        2,
        "ReadTimeout",
        472,
        pytest.approx(29.9),
    )
    assert w.value("spanwire.retry.attempts") == 2
    assert w.last.notable


def test_a_further_attempt_is_of_the_kind_retry():
    w = world(503, 200)
    w.send()
    assert w.kinds == ["primary", "retry"]


def test_a_success_tells_nothing():
    w = world(200)
    w.send()
    assert (w.told, w.log) == ([], ["send"])


def test_an_answer_that_is_no_failure_tells_nothing():
    w = world(404)
    assert w.send().status_code == 404
    assert (w.told, w.open) == ([], 1)


def test_the_wait_is_a_phase_of_the_call():
    w = world(503, 200, backoff=Fixed(seconds=2))
    w.send()
    assert w.last.phases["backoff"] == 2


def test_the_series_exist_before_the_first_retry():
    w = world(200)
    series = {(metric.name, labels) for metric, _, labels in w.account.sums()}
    assert ("spanwire.retry.attempts", ("throttled",)) in series
    assert ("spanwire.retry.denials", ("not_idempotent",)) in series


# -- why no further attempt is made --------------------------------------------------------------------------------


def test_the_last_answer_is_returned_when_attempts_run_out():
    w = world(503)
    assert w.send().status_code == 503
    assert w.names == ["scheduled status", "scheduled status", "exhausted max_attempts"]
    assert w.told[-1].attempt == 3
    assert w.open == 1
    assert w.value("spanwire.retry.denials", reason="max_attempts") == 1


def test_the_last_error_is_raised_when_attempts_run_out():
    w = world(httpx.ConnectError("one"), httpx.ConnectError("two"), httpx.ReadError("three"))
    with pytest.raises(httpx.ReadError, match="three"):
        w.send()
    assert w.log.count("send") == 3


def test_a_post_is_not_repeated():
    w = world(503)
    assert w.send("POST", content=b"x").status_code == 503
    assert (w.names, w.log) == (["denied not_idempotent"], ["send"])
    assert w.told[0].attempts_left == 2


def test_pitfall_12_no_method_is_repeated_by_default_that_may_not_be():
    for method in ("POST", "PATCH", "CONNECT", "FROB"):
        w = world(503)
        w.send(method)
        assert w.names == ["denied not_idempotent"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"])
def test_idempotent_methods_are_repeated(method):
    w = world(503, 200)
    assert w.send(method).status_code == 200


def test_a_post_with_an_idempotency_key_is_repeated():
    w = world(503, 200)
    assert w.send("POST", headers={"idempotency-key": "k1"}).status_code == 200


def test_the_caller_says_whether_a_request_may_be_repeated():
    assert world(503, 200).send("POST", idempotent=True).status_code == 200
    assert world(503, 200).send("GET", idempotent=False).status_code == 503


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.PoolTimeout("full")])
def test_pitfall_29_a_post_that_provably_never_left_is_repeated(error):
    w = world(error, 200)
    assert w.send("POST", content=b"x", idempotent=False).status_code == 200


def test_pitfall_29_a_post_that_may_have_left_is_not_repeated():
    w = world(httpx.ReadError("lost"))
    with pytest.raises(httpx.ReadError):
        w.send("POST", content=b"x")
    assert w.names == ["denied not_idempotent"]


def test_pitfall_28_a_refused_stream_is_repeated_whatever_the_method_and_a_lost_connection_is_not():
    from h2.events import StreamReset

    def error(code):
        event = StreamReset(stream_id=1)
        event.error_code, event.remote_reset = code, True
        failure = httpx.RemoteProtocolError("reset")
        failure.__cause__ = Exception(event)
        return failure

    assert world(error(7), 200).send("POST", content=b"x").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        world(error(2), 200).send("POST", content=b"x")


def test_pitfall_2_a_one_shot_body_is_sent_once_and_the_outcome_is_the_origins_own():
    w = world(503, 200)
    assert w.send("PUT", content=(piece for piece in [b"a"])).status_code == 503
    assert (w.names, w.open) == (["denied not_replayable"], 1)


def test_pitfall_3_no_body_is_buffered_unasked():
    w = world(200)
    pieces = iter([b"a", b"b"])
    w.send("PUT", content=pieces)
    assert list(pieces) == [b"a", b"b"], "only the wire reads it"


def test_a_refusal_is_not_retried_and_was_told_already():
    w = world(CircuitOpen("open"))
    with pytest.raises(CircuitOpen):
        w.send()
    assert (w.told, w.log) == ([], ["send"])


def test_a_refused_retry_is_explained_and_gives_its_tokens_back():
    w = world(503, CircuitOpen("open"))
    with pytest.raises(CircuitOpen):
        w.send()
    assert w.names == ["scheduled status", "denied not_retryable"]
    assert w.told[-1].outcome == "CircuitOpen"
    assert repr(w.layer.budget) == "<Budget 500/500>"


def test_an_attempts_own_timeout_is_retried_and_the_deadline_is_not():
    assert world(AttemptTimeout("slow"), 200).send().status_code == 200
    w = world(DeadlineExceeded("over"))
    with pytest.raises(DeadlineExceeded):
        w.send()
    assert w.names == ["denied deadline"]


def test_a_failure_that_is_not_retryable_is_explained():
    w = world(httpx.UnsupportedProtocol("ftp"))
    with pytest.raises(httpx.UnsupportedProtocol):
        w.send()
    assert w.names == ["denied not_retryable"]


def test_once_a_retry_was_made_its_end_is_explained_unless_it_is_a_success():
    w = world(503, 404)
    assert w.send().status_code == 404
    assert w.names == ["scheduled status", "denied not_retryable"]


# -- the deadline --------------------------------------------------------------------------------------------------


def test_a_wait_that_does_not_fit_before_the_deadline_is_not_begun():
    w = world(503, backoff=Fixed(seconds=2))
    assert w.send(total=2).status_code == 503
    assert (w.names, w.log) == (["denied deadline"], ["send"])


def test_draining_leaves_time_for_the_wait():
    w = world(503, 200, backoff=Fixed(seconds=2))
    w.send(total=2.25)
    assert w.io.drains == [(65536, 0.25)]


@pytest.mark.parametrize("total", [0.5, 1, 3])
def test_waits_never_run_past_the_deadline(total):
    w = world(503, max_attempts=100, backoff=Fixed(seconds=0.2))
    w.send(total=total)
    assert w.clock.now <= 100 + total


def test_pitfall_18_redirects_share_the_attempts_of_their_call():
    w = world(503, 200, 503, 503)
    first = w.request()
    assert w.go(first).status_code == 200
    second = httpx.Request(
        "GET", "http://origin.test/b", extensions=first.extensions | {"spanwire.attempt.kind": "redirect"}
    )
    assert w.go(second).status_code == 503
    assert w.kinds == ["primary", "retry", "redirect", "retry"], "one retry was left of the two"
    assert w.names[-1] == "exhausted max_attempts"


# -- what the origin asks for --------------------------------------------------------------------------------------


def test_pitfall_22_retry_after_is_never_shortened():
    w = world(lambda request: w.response(503, retry_after="7"), 200)
    w.send()
    (told,) = w.told
    assert 7 <= told.delay <= 8.4
    assert (told.reason, told.delay_source) == ("throttled", "retry_after")


def test_pitfall_22_a_retry_after_that_is_too_long_is_given_up_at_once():
    w = world(lambda request: w.response(429, retry_after="61"))
    assert w.send().status_code == 429
    assert (w.names, w.log) == (["denied retry_after_too_long"], ["send"])
    assert w.told[0].delay >= 61


def test_a_date_is_read_by_the_time_of_day():
    from email.utils import formatdate

    w = world(lambda request: w.response(503, retry_after=formatdate(NOON + 10, usegmt=True)), 200)
    w.send()
    assert 10 <= w.told[0].delay <= 12


def test_a_retry_after_beyond_the_deadline_is_given_up_at_once():
    w = world(lambda request: w.response(503, retry_after="20"))
    w.send(total=5)
    assert (w.names, w.log) == (["denied deadline"], ["send"])


def test_what_the_origin_asks_for_can_be_ignored():
    w = world(lambda request: w.response(503, retry_after="20"), 200, respect_retry_after=False)
    w.send()
    assert w.told[0].delay == 0.1


def test_after_throttling_the_backoff_starts_from_a_second():
    w = world(429, 503, 200, backoff=Exponential(jitter="none"))
    w.send()
    assert [(told.delay, told.reason) for told in w.told] == [(1.0, "throttled"), (0.1, "status")]


def test_x_should_retry_is_obeyed_both_ways():
    w = world(lambda request: w.response(503, x_should_retry="false"))
    w.send()
    assert w.names == ["denied not_retryable"]
    w = world(lambda request: w.response(409, x_should_retry="true"), 200)
    w.send()
    assert w.names == ["scheduled server_asked"]


# -- the budget ----------------------------------------------------------------------------------------------------


def test_an_empty_budget_denies():
    w = world(503, budget=RetryBudget(capacity=20))
    w.send()
    assert w.names == ["scheduled status", "denied budget"]
    assert w.told[-1].budget_left == 6


def test_throttling_costs_less_than_failing():
    w = world(429, 503, 503)
    w.send()
    assert [told.budget_left for told in w.told] == [495, 481, 481]


def test_a_success_at_a_retry_gives_back_what_that_retry_took():
    w = world(503, 429, 200)
    w.send()
    assert repr(w.layer.budget) == "<Budget 486/500>", "5 of 19 came back"
    w.send()
    assert repr(w.layer.budget) == "<Budget 487/500>", "one for a success at the first attempt"


def test_a_failing_origin_is_in_the_end_asked_once_per_call():
    w = world(503)
    for _ in range(30):
        w.send()
    before = len(w.kinds)
    for _ in range(10):
        w.send()
    assert len(w.kinds) == before + 10


def test_pitfall_30205_retries_asleep_have_already_paid():
    w = world(503, 200)
    seen = []
    w.io.sleep = lambda seconds: _noted(seen, w)
    w.send()
    assert seen == [486]


async def _noted(seen, w):
    seen.append(w.layer.budget.available)


def test_without_a_budget_only_attempts_and_time_limit():
    w = world(503, budget=None, max_attempts=50)
    w.send()
    assert len(w.kinds) == 50
    assert w.told[0].budget_left is None
    assert list(w.layer.observe()) == []
    w = world(503, 200, budget=None)
    assert (w.send().status_code, w.send().status_code) == (200, 200)


def test_the_budget_is_observed():
    w = world(503)
    w.send()
    assert list(w.layer.observe()) == [(AVAILABLE, 472, ()), (CAPACITY, 500, ())]
    assert set(Retrying.OBSERVES) == {AVAILABLE, CAPACITY}


def test_a_reload_keeps_the_budget_if_its_settings_are_the_same():
    first = world(503)
    first.send()
    assert world(200, previous=first.layer, max_attempts=7).layer.budget is first.layer.budget
    assert world(200, previous=first.layer, budget=RetryBudget(capacity=50)).layer.budget.available == 50
    assert world(200, previous=first.layer, budget=None).layer.budget is None
    assert world(200, previous=world(200, budget=None).layer).layer.budget.available == 500


def test_the_tries_of_a_request_show_their_state():
    w = world(503)
    tries = Tries(w.request(), w.layer.budget)
    tries.paid = 14
    assert repr(tries) == "<Tries 1 paid 14>"


# -- cancellation, and functions that fail -------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [Cancelled(), ClientClosed("closed"), KeyboardInterrupt()])
def test_a_wait_that_is_cut_short_gives_its_tokens_back_and_says_so(cut):
    w = world(503)
    w.io.cut = cut
    with pytest.raises(type(cut)):
        w.send()
    assert w.names == ["scheduled status", "denied cancelled"]
    assert repr(w.layer.budget) == "<Budget 500/500>"
    assert w.open == 0


def test_without_a_budget_a_wait_that_is_cut_short_has_nothing_to_give_back():
    w = world(503, budget=None)
    w.io.cut = Cancelled()
    with pytest.raises(Cancelled):
        w.send()
    assert w.names == ["scheduled status", "denied cancelled"]


def test_cancelling_an_attempt_is_neither_a_failure_nor_a_success():
    w = world(503, Cancelled())
    with pytest.raises(Cancelled):
        w.send()
    assert w.names == ["scheduled status"]
    assert repr(w.layer.budget) == "<Budget 486/500>", "it was sent: an origin that hangs must drain the budget"


def boom(*arguments):
    raise ZeroDivisionError("boom")


@pytest.mark.parametrize("settings", [{"on_retry": boom}, {"should_retry": boom}, {"backoff": Custom(function=boom)}])
def test_pitfall_4_a_function_that_fails_leaks_no_connection(settings):
    w = world(503, **settings)
    with pytest.raises(ZeroDivisionError):
        w.send()
    assert w.open == 0
    assert repr(w.layer.budget) == "<Budget 500/500>"


def test_a_function_that_fails_over_an_error_is_raised_in_its_place():
    with pytest.raises(ZeroDivisionError) as caught:
        world(httpx.ReadError("lost"), on_retry=boom).send()
    assert isinstance(caught.value.__context__, httpx.ReadError)


# -- what users hook in --------------------------------------------------------------------------------------------


def test_on_retry_sees_the_attempt_the_outcome_and_the_delay_while_the_response_is_open():
    seen = []

    def on_retry(attempt, outcome, delay):
        seen.append((attempt, outcome.name, delay, outcome.response is None or not outcome.response.is_closed))

    world(503, httpx.ReadError("lost"), 200, on_retry=on_retry).send()
    assert seen == [(1, "503", 0.1, True), (2, "ReadError", 0.1, True)]


def test_on_retry_may_be_async():
    seen = []

    async def on_retry(attempt, outcome, delay):
        seen.append(attempt)

    world(503, 200, on_retry=on_retry).send()
    assert seen == [1]


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_should_retry_takes_the_place_of_the_rules(colour):
    def plain(outcome):
        return outcome.name in ("404", "ValueError")

    async def coroutine(outcome):
        return plain(outcome)

    w = world(404, ValueError("no"), 503, should_retry=plain if colour == "plain" else coroutine)
    assert w.send().status_code == 503
    assert w.names == ["scheduled custom", "scheduled custom", "denied not_retryable"]


def test_should_retry_sees_successes_too_and_they_still_earn_tokens():
    w = world(503, 200, should_retry=lambda outcome: outcome.response.status_code == 200 and outcome.attempt < 2)
    w.send()
    w.send()
    assert w.names[0] == "denied not_retryable"
    w = world(200, should_retry=lambda outcome: False)
    w.layer.budget.take(10)
    w.send()
    assert (w.told, w.layer.budget.available) == ([], 491)


def test_should_retry_is_not_asked_about_refusals():
    with pytest.raises(CircuitOpen):
        world(CircuitOpen("open"), should_retry=lambda outcome: True).send()


# -- keys and errors of its own ------------------------------------------------------------------------------------


def test_a_generated_key_stays_the_same_over_all_attempts():
    keys = []
    w = world(lambda request: keys.append(request.headers["Idempotency-Key"]) or 503, generate_idempotency_key=True)
    w.answers = w.answers * 3
    w.send("POST", content=b"x")
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_idempotent_method_needs_no_key():
    w = world(200, generate_idempotency_key=True)
    request = w.request("GET")
    w.go(request)
    assert "idempotency-key" not in request.headers


def test_running_out_can_be_an_error_that_has_the_last_answer():
    w = world(503, raise_on_exhausted=True)
    with pytest.raises(
        RetryExhausted, match=r"attempt 3 ended with 503.*max_attempts.*raise `retry.max_attempts`"
    ) as caught:
        w.send()
    assert (caught.value.reason, caught.value.response.status_code, caught.value.response.content) == (
        "max_attempts",
        503,
        b"body",
    )
    assert caught.value.response.request is caught.value.request
    assert w.open == 0


def test_running_out_by_errors_has_the_last_one_as_its_cause():
    with pytest.raises(RetryExhausted, match="ReadError") as caught:
        world(httpx.ReadError("lost"), raise_on_exhausted=True, max_attempts=1).send()
    assert isinstance(caught.value.__cause__, httpx.ReadError)
    assert caught.value.response is None


def test_a_body_that_breaks_while_it_is_read_for_the_error_is_closed():
    w = world(lambda request: w.response(503, failure=httpx.ReadError("lost")), raise_on_exhausted=True, max_attempts=1)
    with pytest.raises(RetryExhausted):
        w.send()
    assert w.open == 0


@pytest.mark.parametrize(
    ("answers", "settings", "more", "reason"),
    [
        ((503,), {"budget": RetryBudget(capacity=14)}, {}, "budget"),
        ((503,), {"backoff": Fixed(seconds=9)}, {"total": 5}, "deadline"),
    ],
)
def test_want_of_budget_or_time_is_running_out_too(answers, settings, more, reason):
    with pytest.raises(RetryExhausted) as caught:
        world(*answers, raise_on_exhausted=True, **settings).send(**more)
    assert caught.value.reason == reason


def test_what_may_not_be_repeated_has_not_run_out():
    assert world(503, raise_on_exhausted=True).send("POST").status_code == 503


def test_pitfall_10_a_breaker_below_is_asked_before_each_attempt():
    w = world(503, CircuitOpen("opened meanwhile"), 200)
    with pytest.raises(CircuitOpen):
        w.send()
    assert w.log.count("send") == 2


def test_an_error_that_is_raised_holds_nothing_of_the_attempts_alive():
    def lost(request):
        raise httpx.ReadError("lost")

    w = world(lost)
    request = w.request()
    gone = weakref.ref(request)
    gc.disable()
    try:
        with pytest.raises(httpx.ReadError):
            w.go(request)
        del request
        assert gone() is None, "there is no cycle of tracebacks"
    finally:
        gc.enable()
