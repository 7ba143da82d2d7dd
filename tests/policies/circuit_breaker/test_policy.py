"""The coroutine around an attempt passes and refuses, and tells what it does."""

from __future__ import annotations

import pickle

import httpx
import pytest

from spanwire.call import CALL, LINKS
from spanwire.errors import CircuitOpen
from spanwire.runtime.sync import run

from .helpers import ORIGIN, World, tripped

# -- passing -------------------------------------------------------------------------------------------------------


def test_a_healthy_origin_is_passed_without_a_word():
    world = World()
    assert world.send().status_code == 200
    assert world.recorder.heard == []
    assert LINKS not in world.sent[0].extensions
    assert repr(world.breaker()) == "<Breaker http://h closed, 0 of 1 failed>"
    assert (world.value("calls"), world.value("failures"), world.value("rejections")) == (1, 0, 0)


def test_the_outcome_is_judged_at_the_headers_and_the_body_is_not_touched():
    class Untouched(httpx.SyncByteStream):
        def __iter__(self):
            raise AssertionError("the body was read")

    world = World()
    world.script(httpx.Response(500, stream=Untouched()))
    response = world.send()
    assert not response.is_closed
    assert world.value("failures") == 1


def test_retries_do_not_pump_the_breaker_unseen_each_attempt_is_one_outcome_and_asks_again():
    world = World(consecutive_failures=2)
    world.script(500)
    request = world.request()
    for _ in range(2):
        run(world.layer(request, world.wire, world.io))
    with pytest.raises(CircuitOpen):
        run(world.layer(request, world.wire, world.io))
    assert (world.value("calls"), world.value("failures"), len(world.sent)) == (2, 2, 2)


# -- refusing ------------------------------------------------------------------------------------------------------


def test_an_open_breaker_refuses_with_what_happened_and_when_to_come_again():
    world = tripped()
    world.clock.now = 1.0
    with pytest.raises(CircuitOpen) as caught:
        world.send("http://h:80/secret?token=sesame")
    error = caught.value
    assert str(error) == (
        "the circuit breaker of http://h is open: failures in a row: 1 (limit 1). Nothing was sent; ask again in 10.0 s"
    )
    assert (error.breaker, error.retry_after, error.tripped_by) == (ORIGIN, pytest.approx(10.0), "span 1")
    assert isinstance(error, httpx.TransportError)
    assert str(error.request.url).startswith("http://h")
    assert len(world.sent) == 1
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.breaker, again.tripped_by) == (str(error), ORIGIN, None)


def test_the_message_says_by_which_rule_and_how_often_in_a_row_it_opened():
    world = World(min_calls=4, break_duration=10)
    world.script(200, 500)
    for _ in range(4):
        world.send()
    with pytest.raises(CircuitOpen, match=r"open: 3 of 4 calls within 30 s failed \(limit 50%\)\. Nothing was sent"):
        world.send()
    world.clock.now = 11.0
    world.send()
    with pytest.raises(CircuitOpen, match=r"3 of 4 .* \(limit 50%\), opened 2 times in a row\. .* again in 22\.0 s"):
        world.send()


def test_a_refusal_is_told_with_its_evidence_and_its_call_is_linked_to_what_tripped_the_breaker():
    world = tripped()
    with pytest.raises(CircuitOpen):
        world.send()
    call, decision = world.recorder.heard[-1]
    assert call is world.calls[-1]
    assert call.notable
    assert (decision.NAME, decision.reason, decision.enforced) == ("spanwire.circuit_breaker.rejected", "open", True)
    assert (decision.failures, decision.total, decision.threshold, decision.generation) == (1, 1, 1.0, 1)
    assert [(link.context, link.relation) for link in call.links] == [("span 1", "tripped_by")]
    assert world.value("rejections", enforced="true") == 1


def test_a_transition_is_told_once_with_the_call_that_caused_it():
    world = tripped()
    ((call, moved),) = world.recorder.heard
    assert call is world.calls[0]
    assert call.notable
    assert (moved.NAME, moved.left, moved.entered) == ("spanwire.circuit_breaker.transition", "closed", "open")
    assert moved.seconds == pytest.approx(11.0), "half of the jitter"
    assert world.value("transitions", to="open", reason="consecutive_failures") == 1


def test_what_tripped_it_is_the_attempt_of_the_request_and_not_the_last_of_a_call_with_several():
    world = World(consecutive_failures=1)
    request = world.request()

    async def overtaken(sent: httpx.Request) -> httpx.Response:
        response = await world.wire(sent)
        hedge = httpx.Request("GET", "http://h/", extensions={CALL: world.calls[0]})
        await world.wire(hedge)
        return response

    world.script(500, 200)
    run(world.layer(request, overtaken, world.io))
    assert world.breaker().tripped_by == "span 1"


def test_what_failed_without_an_attempt_trips_it_without_a_link():
    world = World(consecutive_failures=1)

    async def failing(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError):
        run(world.layer(world.request(), failing, world.io))
    with pytest.raises(CircuitOpen) as caught:
        world.send()
    assert caught.value.tripped_by is None
    assert not world.calls[-1].links
    world.clock.now = 100.0
    world.send()
    assert LINKS not in world.sent[-1].extensions


def test_a_retry_after_of_the_answer_keeps_the_breaker_open_for_longer():
    world = World(consecutive_failures=1, break_duration=5)
    world.script(httpx.Response(503, headers={"retry-after": "30"}))
    world.send()
    assert world.recorder.decisions[-1].seconds == pytest.approx(33.0)


# -- slow calls ----------------------------------------------------------------------------------------------------


def test_slow_answers_open_it_although_they_are_fine_and_point_to_the_slow_attempt():
    world = World(slow_call_ratio=0.5, slow_call_duration=2, min_calls=2)

    def slow():
        world.clock.now += 3.0
        return 200

    world.script(200, slow)
    world.send()
    world.send()
    assert world.recorder.decisions[-1].reason == "slow_call_ratio"
    assert world.breaker().tripped_by == "span 2"
    with pytest.raises(CircuitOpen, match=r"1 of 2 calls within 30 s were slow \(limit 50%\)"):
        world.send()
