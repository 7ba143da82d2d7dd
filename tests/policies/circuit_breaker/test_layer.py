"""Modes and scopes, and the life of a layer: reload, metrics, fork."""

from __future__ import annotations

import pytest

from spanwire.errors import CircuitOpen
from spanwire.policies.circuit_breaker import CircuitBreaker, CircuitBreaking, policy
from spanwire.policies.circuit_breaker.decisions import STATE_TIME, STATUS
from spanwire.runtime.sync import run

from .helpers import ORIGIN, World, tripped

# -- modes and scopes ----------------------------------------------------------------------------------------------


def test_observe_tells_what_it_would_have_done_and_refuses_nothing():
    world = World(consecutive_failures=2, mode="observe")
    world.script(500)
    for _ in range(5):
        assert world.send().status_code == 500
    assert world.recorder.names == ["transition", "rejected", "rejected", "rejected"]
    assert not any(decision.enforced for decision in world.recorder.decisions)
    assert world.value("rejections", enforced="false") == 3
    assert world.value("calls") == 2
    world.clock.now = 6.0
    world.script(200)
    world.send()
    world.send()
    assert world.breaker().state == "closed", "it moves on as if it had refused"


def test_a_call_observed_again_and_again_is_linked_once():
    world = World(consecutive_failures=1, mode="observe")
    world.script(500)
    world.send()
    request = world.request()
    for _ in range(3):
        run(world.layer(request, world.wire, world.io))
    assert len(world.calls[-1].links) == 1
    assert world.account.value("spanwire.telemetry.dropped") == 0


def test_disabled_lets_everything_through():
    world = World(consecutive_failures=1, mode="disabled")
    world.script(500)
    for _ in range(5):
        world.send()
    assert len(world.sent) == 5
    assert world.breaker().state == "disabled"
    assert not world.recorder.heard


def test_forced_open_says_who_did_it_and_how_to_undo_it():
    world = World()
    world.layer.handle()[ORIGIN].force_open()
    with pytest.raises(CircuitOpen, match="forced open by the application") as caught:
        world.send()
    assert "client.circuit_breakers['http://h'].reset()" in str(caught.value)
    assert caught.value.retry_after is None
    assert not world.calls[-1].links


@pytest.mark.parametrize("scope", [None, "origin", "endpoint"])
def test_unlike_origins_do_not_share_a_breaker(scope):
    world = World(consecutive_failures=1, scope=scope)
    world.script(500, 200)
    world.send("http://h/")
    assert world.send("https://h/").status_code == 200
    assert world.send("http://h:81/").status_code == 200
    with pytest.raises(CircuitOpen):
        world.send("http://h:80/other")
    assert list(world.layer.handle()) == ["https://h", "http://h:81", "http://h"]


def test_routes_and_clients_have_breakers_where_they_are_asked_for():
    world = World(consecutive_failures=1, scope="route")
    world.script(500, 200)
    world.send("http://a/1", route="/{id}")
    world.send("http://a/1")
    with pytest.raises(CircuitOpen):
        world.send("http://b/2", route="/{id}")
    world = World(consecutive_failures=1, scope="client")
    world.script(500)
    world.send("http://a/")
    with pytest.raises(CircuitOpen, match="the circuit breaker of billing is open"):
        world.send("http://b/")


# -- reload, metrics, fork -----------------------------------------------------------------------------------------


def test_a_layer_with_an_equal_configuration_keeps_the_breakers():
    world = tripped()
    after = CircuitBreaking(CircuitBreaker(consecutive_failures=1, break_duration=10), world.kit, world.layer)
    with pytest.raises(CircuitOpen):
        world.send(layer=after)


def test_a_layer_with_another_configuration_starts_anew_and_the_counters_stay_true():
    world = tripped()
    world.clock.now = 4.0
    after = CircuitBreaking(CircuitBreaker(consecutive_failures=3), world.kit, world.layer)
    world.script(200)
    world.send(layer=after)
    world.clock.now = 9.0
    running = [(labels, value) for metric, value, labels in after.observe() if metric is STATE_TIME]
    assert running == [((ORIGIN, "closed"), 5.0)]
    assert world.value("state.time", state="open") == 4.0
    assert (world.value("calls"), world.value("failures")) == (2, 1)


def test_a_call_under_way_ends_under_the_layer_that_it_began_with():
    world = World(consecutive_failures=1)

    def reload():
        world.after = CircuitBreaking(CircuitBreaker(consecutive_failures=9), world.kit, world.layer)
        return 500

    world.script(reload, 200)
    world.send()
    assert world.breaker().state == "open"
    assert world.send(layer=world.after).status_code == 200


def test_the_state_of_now_is_observed():
    world = tripped()
    world.clock.now = 3.0
    assert set(world.layer.OBSERVES) == {STATUS, STATE_TIME} == {metric for metric, _, _ in world.layer.observe()}
    assert [labels for metric, value, labels in world.layer.observe() if metric is STATUS and value] == [
        (ORIGIN, "open")
    ]


def test_a_forked_child_gives_itself_new_locks_in_every_layer():
    world = World()
    world.send()
    world.breaker()._lock.acquire()
    policy._after_fork()
    assert world.send().status_code == 200
