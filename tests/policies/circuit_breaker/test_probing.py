"""The coroutine probes, and gives every permit back."""

from __future__ import annotations

import anyio
import httpx
import pytest

from spanwire.call import LINKS, Link
from spanwire.errors import CircuitOpen, ConcurrencyLimited
from spanwire.runtime.sync import run

from .helpers import ORIGIN, World, tripped


def test_a_probe_is_told_and_its_attempt_will_be_linked_to_what_tripped_the_breaker():
    world = tripped()
    world.clock.now = 11.0
    earlier = Link("another cause", "cause")
    request = world.request()
    request.extensions[LINKS] = given = [earlier]
    run(world.layer(request, world.wire, world.io))
    assert world.recorder.names == ["transition", "transition", "probe"]
    assert all(call is world.calls[-1] for call, _ in world.recorder.heard[1:])
    assert request.extensions[LINKS][0] is earlier
    assert given == [earlier]
    assert [(link.context, link.relation) for link in request.extensions[LINKS][1:]] == [("span 1", "tripped_by")]


def test_it_recovers():
    world = tripped(success_threshold=2)
    world.clock.now = 11.0
    world.send()
    world.send()
    assert [(moved.left, moved.entered) for moved in world.recorder.decisions if moved.LASTING] == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    assert world.breaker().state == "closed"


def test_a_concurrent_caller_in_half_open_is_refused_at_once_and_never_queued():
    world = tripped()
    world.clock.now = 11.0

    def meanwhile():
        with pytest.raises(CircuitOpen, match="every probe that it may send is under way") as caught:
            world.send()
        assert caught.value.retry_after is None
        assert "ask again when one has come back" in str(caught.value)
        return 200

    world.script(meanwhile)
    assert world.send().status_code == 200
    assert world.recorder.decisions[-1].reason == "probing"


class Cancelled(BaseException):
    """What cancellation is in the async colour, and a lost race in the sync one."""


@pytest.mark.parametrize(
    "error",
    [Cancelled(), KeyboardInterrupt(), httpx.PoolTimeout("none free"), ConcurrencyLimited("full"), ValueError("ours")],
    ids=["cancelled half-open probe", "interrupted", "PoolTimeout in half-open", "refused below", "interceptor failed"],
)
def test_a_probe_without_evidence_gives_its_permit_back_and_does_not_reopen(error):
    world = tripped()
    world.clock.now = 11.0
    world.script(error)
    with pytest.raises(type(error)):
        world.send()
    assert repr(world.breaker()) == "<Breaker http://h half_open, 0 of 1 probes out, 0 of 2 succeeded>"
    world.script(200)
    assert world.send().status_code == 200
    assert world.value("calls") == 2


def test_a_coroutine_that_is_dropped_in_its_middle_gives_the_permit_back():
    world = tripped()
    world.clock.now = 11.0

    class Never:
        def __await__(self):
            yield

    async def hanging(request: httpx.Request) -> httpx.Response:
        await Never()
        raise AssertionError

    coroutine = world.layer(world.request(), hanging, world.io)
    coroutine.send(None)
    assert world.breaker()._probes == 1
    coroutine.close()
    assert world.breaker()._probes == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_probe_whose_task_is_cancelled_gives_the_permit_back(backend):
    world = tripped()
    world.clock.now = 11.0

    async def main() -> None:
        with anyio.CancelScope() as scope:

            async def hanging(request: httpx.Request) -> httpx.Response:
                scope.cancel()
                await anyio.sleep_forever()
                raise AssertionError

            await world.layer(world.request(), hanging, world.io)
        assert scope.cancelled_caught

    anyio.run(main, backend=backend)
    assert repr(world.breaker()) == "<Breaker http://h half_open, 0 of 1 probes out, 0 of 2 succeeded>"


def test_a_refused_call_takes_nothing_and_gives_nothing_back():
    world = tripped()
    for _ in range(3):
        with pytest.raises(CircuitOpen):
            world.send()
    assert world.breaker()._in_flight == 0


def test_an_is_failure_that_fails_gives_the_permit_back_and_closes_the_response():
    def broken(outcome):
        raise RuntimeError("a mistake in is_failure")

    world = World(is_failure=broken)
    response = httpx.Response(200, stream=httpx.ByteStream(b"x"))
    world.script(response)
    with pytest.raises(RuntimeError, match="a mistake"):
        world.send()
    assert response.is_closed
    world.script(httpx.ReadError("reset"))
    with pytest.raises(RuntimeError, match="a mistake"):
        world.send()
    assert world.breaker()._in_flight == 0
    assert world.value("calls") == 0


def test_a_listener_that_fails_does_not_cost_a_permit():
    world = tripped()
    world.clock.now = 11.0
    world.recorder.decided = None  # calling it raises TypeError
    world.send()
    assert repr(world.breaker()) == "<Breaker http://h half_open, 0 of 2 probes out, 1 of 2 succeeded>"


def test_decisions_are_told_after_the_lock_is_released():
    world = tripped()
    held = []
    world.recorder.decided = lambda call, decision: held.append(world.breaker()._lock.locked())
    world.clock.now = 11.0
    world.script(200, 500)
    world.send()
    world.send()
    with pytest.raises(CircuitOpen):
        world.send()
    world.layer.handle()[ORIGIN].reset()
    assert len(held) >= 5
    assert not any(held)
