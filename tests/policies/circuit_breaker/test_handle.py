"""What users see of their breakers, and what they may do."""

from __future__ import annotations

import httpx
import pytest

from spanwire.errors import CircuitOpen

from .helpers import World


def test_an_origin_may_be_spelled_as_any_url_of_it():
    world = World(consecutive_failures=1)
    world.script(500)
    world.send("http://h/a?b=c")
    breakers = world.layer.handle()
    for spelling in (
        "http://h",
        "http://h/",
        "http://h:80",
        "http://H:80/x?y",
        "http://user:secret@h/",
        httpx.URL("http://h"),
    ):
        assert breakers[spelling].state == "open"
        assert spelling in breakers
    assert "https://h" not in breakers
    assert "http://h:81" not in breakers
    assert 7 not in breakers
    assert list(breakers) == ["http://h"]
    assert len(breakers) == 1
    assert repr(breakers) == "<CircuitBreakers http://h open>"


def test_one_that_was_never_used_is_closed_and_looking_makes_none():
    world = World()
    view = world.layer.handle()["https://a"]
    assert (view.state, view.calls, view.failures, view.retry_after, view.tripped_by) == ("closed", 0, 0, None, None)
    assert repr(view) == "<CircuitBreaker https://a closed, 0 of 0 calls failed>"
    assert not world.layer.handle()
    assert repr(world.layer.handle()) == "<CircuitBreakers none used yet>"


def test_a_view_shows_what_is_true_now():
    world = World(consecutive_failures=2, break_duration=10)
    view = world.layer.handle()["http://h"]
    world.script(200, 500, 500)
    for _ in range(3):
        world.send()
    assert (view.state, view.failures, view.calls, view.tripped_by) == ("open", 2, 3, "span 3")
    world.clock.now = 4.0
    assert view.retry_after == pytest.approx(7.0)
    assert repr(view) == "<CircuitBreaker http://h open, 2 of 3 calls failed>"


def test_a_breaker_may_be_forced_open_before_the_first_call():
    world = World()
    world.layer.handle()["http://h:80"].force_open()
    with pytest.raises(CircuitOpen):
        world.send()
    assert not world.sent


def test_what_a_user_does_is_told_without_a_call():
    world = World()
    view = world.layer.handle()["http://h"]
    for command in (
        view.force_open,
        view.force_open,
        view.disable,
        view.enable,
        view.force_open,
        view.reset,
        view.reset,
    ):
        command()
    assert [(call, decision.left, decision.entered, decision.reason) for call, decision in world.recorder.heard] == [
        (None, "closed", "forced_open", "forced"),
        (None, "forced_open", "disabled", "disabled"),
        (None, "disabled", "closed", "enabled"),
        (None, "closed", "forced_open", "forced"),
        (None, "forced_open", "closed", "reset"),
    ]
    assert world.value("transitions") == 5


@pytest.mark.parametrize("key", ["h", "billing", "", "http://", "/path", "http://h:port"])
def test_what_is_no_origin_is_refused_with_a_remedy(key):
    breakers = World().layer.handle()
    with pytest.raises(KeyError, match="give scheme and host"):
        breakers[key]
    assert key not in breakers


def test_by_route_the_key_is_the_route_or_the_origin_where_there_was_none():
    world = World(scope="route", consecutive_failures=1)
    world.script(500)
    world.send(route="/invoices/{id}")
    world.script(200)
    world.send()
    breakers = world.layer.handle()
    assert breakers["/invoices/{id}"].state == "open"
    assert breakers["http://h:80/"].state == "closed"
    assert list(breakers) == ["/invoices/{id}", "http://h"]


def test_by_client_there_is_one_and_its_key_is_the_clients_name():
    world = World(scope="client")
    world.send("http://a/")
    world.send("http://b/")
    breakers = world.layer.handle()
    assert list(breakers) == ["billing"]
    assert breakers["billing"].calls == 2
    with pytest.raises(KeyError, match="one for everything, 'billing'"):
        breakers["http://a/"]


def test_a_disabled_configuration_shows_disabled_breakers():
    world = World(mode="disabled")
    view = world.layer.handle()["http://h"]
    assert view.state == "disabled"
    world.script(500)
    world.send()
    assert view.state == "disabled"
