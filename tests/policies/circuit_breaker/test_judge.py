"""What is a failure, what is not, and what is no evidence at all."""

from __future__ import annotations

import httpx
import pytest

from spanwire.call import ATTEMPT, Attempt
from spanwire.errors import AttemptTimeout, CircuitOpen, ConcurrencyLimited, RateLimited
from spanwire.policies.circuit_breaker import CircuitBreaker
from spanwire.policies.circuit_breaker.judge import Judge
from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS

REQUEST = httpx.Request("GET", "http://h/")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, SUCCESS),
        (304, SUCCESS),
        (404, SUCCESS),
        (429, SUCCESS),
        (499, SUCCESS),
        (500, FAILURE),
        (503, FAILURE),
        (599, FAILURE),
    ],
)
def test_answers_of_500_and_more_are_failures(status, verdict):
    assert Judge(CircuitBreaker()).answer(REQUEST, httpx.Response(status)) is verdict


def test_429_is_a_failure_by_choice():
    assert Judge(CircuitBreaker(count_429=True)).answer(REQUEST, httpx.Response(429)) is FAILURE
    assert Judge(CircuitBreaker(count_429=True)).answer(REQUEST, httpx.Response(428)) is SUCCESS


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("silent"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("gibberish"),
        httpx.ProxyError("unreachable"),
        AttemptTimeout("too long"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_transport_are_failures(error):
    assert Judge(CircuitBreaker()).error(REQUEST, error) is FAILURE


@pytest.mark.parametrize(
    "error",
    [
        httpx.PoolTimeout("no connection free"),
        httpx.UnsupportedProtocol("ftp"),
        httpx.LocalProtocolError("a header with a newline"),
        httpx.InvalidURL("no host"),
        httpx.TooManyRedirects("round and round", request=REQUEST),
        CircuitOpen("no"),
        RateLimited("not now"),
        ConcurrencyLimited("not here"),
        ValueError("a mistake in an interceptor"),
        KeyboardInterrupt(),
        GeneratorExit(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "config", [CircuitBreaker(), CircuitBreaker(is_failure=lambda outcome: True)], ids=["by rule", "is_failure"]
)
def test_what_says_nothing_of_the_origin_is_no_evidence_whatever_is_failure_says(config, error):
    assert Judge(config).error(REQUEST, error) is ABANDONED


def test_is_failure_takes_the_place_of_the_rule():
    seen = []

    def is_failure(outcome):
        seen.append(outcome)
        return outcome.response is not None and outcome.response.status_code == 404

    judge = Judge(CircuitBreaker(is_failure=is_failure, count_429=True))
    assert judge.answer(REQUEST, httpx.Response(404)) is FAILURE
    assert judge.answer(REQUEST, httpx.Response(503)) is SUCCESS
    assert judge.answer(REQUEST, httpx.Response(429)) is SUCCESS
    assert judge.error(REQUEST, httpx.ReadTimeout("silent")) is SUCCESS
    assert [outcome.name for outcome in seen] == ["404", "503", "429", "ReadTimeout"]


def test_is_failure_gets_the_same_outcome_as_the_retry_with_the_number_of_the_attempt():
    seen = []
    judge = Judge(CircuitBreaker(is_failure=lambda outcome: bool(seen.append(outcome))))
    request = httpx.Request("GET", "http://h/")
    judge.answer(request, httpx.Response(200))
    request.extensions[ATTEMPT] = Attempt(3, "retry", 0.0)
    judge.error(request, httpx.ReadError("reset"))
    assert [outcome.attempt for outcome in seen] == [1, 3]
    assert seen[1].request is request
