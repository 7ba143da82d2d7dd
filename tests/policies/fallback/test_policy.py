import httpx
import pytest

from spanwire.errors import CircuitOpen, DeadlineExceeded
from spanwire.policies.fallback.config import Fallback, FallbackResponse
from spanwire.policies.fallback.policy import Fallbacks
from tests.policies.retry.world import Cancelled, World

STATIC = {"status": 200, "json": {"items": []}}


def world(*answers, **settings):
    return World(Fallbacks, Fallback(**(settings or {"response": STATIC})), *answers)


def test_a_failed_answer_is_replaced_and_closed():
    w = world(503)
    response = w.send()
    assert (response.status_code, response.json()) == (200, {"items": []})
    assert w.log == ["send", "drain 503"]
    assert w.open == 0


def test_it_is_always_told():
    w = world(503)
    w.send()
    (told,) = w.told
    assert told.evidence() == {
        "spanwire.reason": "status",
        "spanwire.fallback.kind": "response",
        "spanwire.fallback.outcome": "503",
        "spanwire.fallback.status": 200,
    }
    assert w.last.outcome == "fallback"
    assert w.last.notable
    assert w.value("spanwire.fallback.uses", kind="response") == 1
    w.last.judge(200)
    assert w.last.outcome == "fallback", "whatever status was served"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (500, "status"),
        (429, "status"),
        (httpx.ReadTimeout("slow"), "error"),
        (CircuitOpen("open"), "rejected"),
        (DeadlineExceeded("over"), "deadline"),
    ],
)
def test_errors_refusals_deadlines_and_failed_answers_are_replaced(failure, reason):
    w = world(failure)
    assert w.send().status_code == 200
    assert [told.reason for told in w.told] == [reason]


@pytest.mark.parametrize("status", [200, 304, 404])
def test_an_answer_that_is_no_failure_is_left_alone(status):
    w = world(status)
    assert w.send().status_code == status
    assert (w.told, w.last.outcome, w.open) == ([], None, 1)


def test_the_series_exist_before_the_first_use():
    assert {labels for metric, _, labels in world(200).account.sums() if metric.name == "spanwire.fallback.uses"} == {
        ("response",),
        ("function",),
    }


@pytest.mark.parametrize("failure", [ValueError("a mistake of ours"), Cancelled(), KeyboardInterrupt()])
def test_mistakes_and_cancellation_are_not_hidden(failure):
    w = world(failure)
    with pytest.raises(type(failure)):
        w.send()
    assert w.told == []


def test_each_call_is_served_a_response_of_its_own():
    w = world(503)
    assert w.send() is not w.send()


def test_a_function_sees_the_request_and_the_outcome():
    def function(request, outcome):
        assert not outcome.response.is_closed
        return httpx.Response(203, text=f"{request.method} {outcome.name} after {outcome.attempt}")

    w = world(503, function=function)
    assert w.send().text == "GET 503 after 1"
    assert w.told[0].kind == "function"
    assert w.open == 0


def test_a_function_may_be_async_and_give_the_settings_of_a_response():
    async def function(request, outcome):
        return FallbackResponse(content="made")

    assert world(httpx.ReadError("lost"), function=function).send().text == "made"


@pytest.mark.parametrize("answer", ["none", "the same"])
def test_a_function_may_decline(answer):
    w = world(503, function=lambda request, outcome: None if answer == "none" else outcome.response)
    assert w.send().status_code == 503
    assert (w.told, w.last.outcome, w.open) == ([], None, 1)


def test_where_the_function_declines_the_response_is_served_if_there_is_one():
    w = world(503, function=lambda request, outcome: None, response=STATIC)
    assert w.send().json() == {"items": []}
    assert w.told[0].kind == "response"


def test_a_declined_error_is_raised():
    with pytest.raises(httpx.ReadError):
        world(httpx.ReadError("lost"), function=lambda request, outcome: None).send()


def fails(request, outcome):
    raise ZeroDivisionError("boom")


@pytest.mark.parametrize(
    ("function", "error"), [(fails, ZeroDivisionError), (lambda request, outcome: {"a": 1}, TypeError)]
)
def test_a_function_that_fails_leaks_no_connection(function, error):
    w = world(503, function=function)
    with pytest.raises(error):
        w.send()
    assert w.open == 0


def test_only_the_chosen_outcomes_are_replaced():
    settings = {"response": STATIC, "on_status": [404], "on_exception": ["ConnectError"]}
    assert world(404, **settings).send().status_code == 200
    assert world(503, **settings).send().status_code == 503
    with pytest.raises(httpx.ReadError):
        world(httpx.ReadError("lost"), **settings).send()


def test_writes_can_be_left_out_so_that_none_looks_as_if_it_had_succeeded():
    settings = {"response": STATIC, "methods": ["get"]}
    assert world(503, **settings).send().status_code == 200
    w = world(503, **settings)
    assert w.send("POST").status_code == 503
    assert w.open == 1
    with pytest.raises(httpx.ReadError):
        world(httpx.ReadError("lost"), **settings).send("POST")


def test_draining_what_is_replaced_keeps_to_the_deadline():
    w = world(503)
    w.send(total=0.25)
    assert w.io.drains == [(65536, 0.25)]
