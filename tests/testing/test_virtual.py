"""Virtual time: hours pass in no time, in order."""

from __future__ import annotations

import sys
import time

import httpx
import pytest
import trio

from spanwire import AsyncClient, ConfigurationError, DeadlineExceeded, Fixed, Policy, Retry, Timeout, testing
from spanwire.testing import VirtualTime, in_virtual_time


async def unavailable(request: httpx.Request) -> httpx.Response:
    await trio.sleep(1)
    return httpx.Response(503)


def client(**policy: object) -> AsyncClient:
    transport = httpx.MockTransport(unavailable)
    return AsyncClient(transport=transport, policy=Policy(**policy), clock=trio.current_time)  # type: ignore[arg-type]


@in_virtual_time
async def test_waits_and_answers_take_their_time_and_no_more() -> None:
    retry, timeout = Retry(max_attempts=3, backoff=Fixed(seconds=3600)), Timeout(total=None)
    async with client(retry=retry, timeout=timeout) as patient:
        assert (await patient.get("https://billing.internal/")).status_code == 503
    assert trio.current_time() == 3 * 1 + 2 * 3600


@in_virtual_time
async def test_a_deadline_cuts_what_takes_longer() -> None:
    async with client(retry=None, timeout=Timeout(total=0.5)) as hurried:
        with pytest.raises(DeadlineExceeded):
            await hurried.get("https://billing.internal/")
    assert trio.current_time() == pytest.approx(0.5, abs=0.01)


@in_virtual_time
async def test_the_decorator_leaves_fixtures_alone(tmp_path: object, spanwire_virtual_time: VirtualTime) -> None:
    assert tmp_path
    assert repr(spanwire_virtual_time) == "<VirtualTime>"


def test_the_fixture_runs_a_story_in_virtual_time(spanwire_virtual_time: VirtualTime) -> None:
    async def story(seconds: float, *, word: str) -> tuple[str, float]:
        await trio.sleep(seconds)
        return word, spanwire_virtual_time.clock()

    began = time.monotonic()
    assert spanwire_virtual_time.run(story, 86400, word="done") == ("done", 86400)
    assert time.monotonic() - began < 5


def test_without_trio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spanwire.testing.virtual")
    monkeypatch.setitem(sys.modules, "trio", None)
    with pytest.raises(ConfigurationError, match=r"virtual time needs `trio`: install spanwire\[testing\]"):
        testing.VirtualTime()
