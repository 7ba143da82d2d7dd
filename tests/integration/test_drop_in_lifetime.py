"""The life of our clients is that of httpx's: opening, closing, sharing, dropping; and one request sent again."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest

import spanwire
from spanwire import Fixed, Policy, Retry
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driver, Seen, Site, kinds, outcomes

QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))


# -- opening and closing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["used then entered", "entered twice", "entered after closing", "sent after closing"])
def test_what_httpx_refuses_of_a_clients_life_is_refused_in_its_words(driver: Driver, site: Site, story: str) -> None:
    messages = []
    for library in (httpx, spanwire):
        client = driver.of(library)
        if story == "used then entered":
            client.get(site.url)
        elif story == "entered twice":
            client.enter()
        else:
            client.close()
        with pytest.raises(RuntimeError) as caught:
            client.get(site.url) if story == "sent after closing" else client.enter()
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]


def test_a_client_can_be_closed_again_and_says_whether_it_is(driver: Driver, site: Site) -> None:
    client = driver.ours()
    client.get(site.url)
    assert not client.is_closed
    client.close()
    client.close()
    assert client.is_closed


def test_what_a_closed_client_counted_stays_readable(driver: Driver, site: Site) -> None:
    client = driver.ours()
    client.get(site.url)
    client.close()
    assert client.metrics()["requests"]["total"] == 1
    assert "Client" in repr(client.client)


def test_a_body_that_is_read_after_the_client_was_closed_fails_as_with_httpx(driver: Driver, site: Site) -> None:
    ends = []
    for library in (httpx, spanwire):
        site.gate.clear()

        def body() -> Iterator[bytes]:
            yield b"first"
            site.gate.wait(5)
            yield b"last"

        site.answer = lambda seen: Answer(200, body())
        client = driver.of(library)
        response = client.open(client.build_request("GET", site.url))
        client.close()
        site.gate.set()
        try:
            ends.append(response.read())
        except httpx.HTTPError as error:
            ends.append(isinstance(error, httpx.TransportError))
        response.close()
    assert ends[0] == ends[1]


def _dropped(used: bool) -> None:
    client = spanwire.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
    if used:
        client.get("http://x.test/")


@pytest.mark.parametrize("used", [True, False])
def test_a_client_that_is_dropped_unclosed_after_use_warns(used: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _dropped(used)
        gc.collect()
    assert [warning.category for warning in caught] == ([ResourceWarning] if used else [])
    assert all("close it" in str(warning.message) for warning in caught)


def test_a_client_that_is_closed_or_left_is_dropped_in_silence(site: Site) -> None:
    with spanwire.Client() as client:
        client.get(site.url)
    del client

    async def main() -> None:
        async with spanwire.AsyncClient() as client:
            await client.get(site.url)

    asyncio.run(main())
    gc.collect()


def test_a_client_that_failed_to_be_made_is_dropped_in_silence() -> None:
    with pytest.raises(TypeError):
        spanwire.Client(no_such_argument=1)  # type: ignore[call-arg]
    gc.collect()


def test_a_client_left_open_at_the_end_of_the_program_does_no_harm(site: Site) -> None:
    code = f"import spanwire; client = spanwire.Client(); print(client.get({site.url!r}).text)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == ("ok\n", "")


# -- sharing ----------------------------------------------------------------------------------------------------------


def _failing_at_first() -> Callable[[Seen], Answer]:
    """Every fifth path fails once."""
    failed: set[str] = set()

    def answer(seen: Seen) -> Answer:
        fails = int(seen.path[1:]) % 5 == 0 and seen.path not in failed
        failed.add(seen.path)
        return Answer(503 if fails else 200, seen.path.encode())

    return answer


def test_a_sync_client_serves_many_threads(site: Site, telemetry: SpanwireTelemetry) -> None:
    site.answer = _failing_at_first()
    with spanwire.Client(policy=QUICK, **telemetry.providers) as client, ThreadPoolExecutor(16) as threads:
        paths = [f"/{number}" for number in range(200)]
        texts = list(threads.map(lambda path: client.get(site.url + path).text, paths))
    assert texts == paths
    assert outcomes(telemetry).count("success") == 200
    assert client.metrics()["requests"]["total"] == 200
    assert telemetry.metric("spanwire.call.active") == 0


def test_an_async_client_serves_many_tasks(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    if driver.is_sync:
        pytest.skip("tasks are async")
    site.answer = _failing_at_first()
    client = driver.ours(policy=QUICK, timeout=httpx.Timeout(5, pool=10), **telemetry.providers).client
    texts: dict[str, str] = {}

    async def one(path: str) -> None:
        texts[path] = (await client.get(site.url + path)).text

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(150):
                tasks.start_soon(one, f"/{number}")

    driver.run(all_of_them())
    assert all(path == text for path, text in texts.items())
    assert len(texts) == client.metrics()["requests"]["total"] == 150
    parents = {span.context.span_id: span for span in telemetry.call_spans}
    assert all(span.parent and span.parent.span_id in parents for span in telemetry.attempt_spans)


def test_an_async_client_goes_on_from_loop_to_loop(site: Site) -> None:
    client = spanwire.AsyncClient(policy=QUICK)

    async def once() -> str:
        response = await client.get(site.url)
        await client._transport._line.wire._pool.aclose()  # a connection belongs to its loop, with httpx as with us
        return response.text

    assert [asyncio.run(once()) for _ in range(2)] == ["ok", "ok"]
    asyncio.run(client.aclose())


# -- one request sent again -------------------------------------------------------------------------------------------


def test_a_request_that_is_sent_again_is_a_call_of_its_own(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.script(503, 200, 200)
    client = driver.ours(policy=QUICK, **telemetry.providers)
    request = client.build_request("GET", site.url)
    reports = [spanwire.report(client.send(request)) for _ in range(2)]
    assert [len(report.attempts) for report in reports] == [2, 1]
    assert len({report.trace_id for report in reports}) == 2
    assert kinds(telemetry) == ["primary", "retry", "primary"]
    assert len({seen.headers["traceparent"] for seen in site.seen}) == 3


def test_a_request_that_is_sent_again_while_its_answer_is_open_is_a_call_of_its_own(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"a", b"b"]))
    client = driver.ours(**telemetry.providers)
    request = client.build_request("GET", site.url)
    first = client.open(request)
    second = client.open(request)
    assert (first.read(), second.read()) == (b"ab", b"ab")
    first.close()
    second.close()
    assert kinds(telemetry) == ["primary", "primary"]
    assert outcomes(telemetry) == ["success", "success"]
    assert len({span.context.trace_id for span in telemetry.spans}) == 2
    assert telemetry.metric("spanwire.call.active") == 0


def test_one_request_object_can_be_under_way_many_times_at_once(site: Site, telemetry: SpanwireTelemetry) -> None:
    ready = threading.Barrier(4)

    def answer(seen: Any) -> Answer:
        ready.wait(5)
        return Answer()

    site.answer = answer
    with spanwire.Client(policy=QUICK, **telemetry.providers) as client, ThreadPoolExecutor(4) as threads:
        request = client.build_request("GET", site.url)
        responses = list(threads.map(lambda _: client.send(request), range(4)))
    assert [response.status_code for response in responses] == [200] * 4
    assert outcomes(telemetry) == ["success"] * 4
    assert kinds(telemetry) == ["primary"] * 4
    assert len({span.context.trace_id for span in telemetry.spans}) == 4
    assert len({seen.headers["traceparent"] for seen in site.seen}) == 4
    assert {len(spanwire.report(response).attempts) for response in responses} == {1}


def test_a_request_of_another_client_is_sent_as_it_is(driver: Driver, site: Site) -> None:
    request = httpx.Request("GET", site.url, headers={"X-Bare": "1"})
    assert driver.ours(headers={"X-Default": "1"}).send(request).status_code == 200
    assert "x-default" not in site.seen[0].headers
    assert site.seen[0].headers["x-bare"] == "1"


def test_a_request_travels_from_httpx_client_to_ours_and_back(driver: Driver, site: Site) -> None:
    ours, theirs = driver.ours(), driver.theirs()
    request = ours.build_request("GET", site.url)
    assert [client.send(request).status_code for client in (ours, theirs, ours)] == [200] * 3


# -- module-level -----------------------------------------------------------------------------------------------------


def test_what_checks_for_httpx_clients_takes_ours(driver: Driver) -> None:
    client = driver.ours().client
    assert isinstance(client, httpx.Client if driver.is_sync else httpx.AsyncClient)
    assert not isinstance(client, httpx.AsyncClient if driver.is_sync else httpx.Client)


def test_our_clients_can_be_subclassed_as_httpx_can(driver: Driver, site: Site) -> None:
    base: Any = spanwire.Client if driver.is_sync else spanwire.AsyncClient

    class Ours(base):  # type: ignore[misc]
        def __init__(self, token: str, **arguments: Any) -> None:
            super().__init__(headers={"X-Token": token}, **arguments)

        def build_request(self, *arguments: Any, **named: Any) -> httpx.Request:
            request: httpx.Request = super().build_request(*arguments, **named)
            request.headers["X-Built"] = "1"
            return request

    client = Ours("t", base_url=site.url)
    driver.colour._clients.append(client)
    assert driver.run(client.get("/")).status_code == 200
    assert (site.seen[0].headers["x-token"], site.seen[0].headers["x-built"]) == ("t", "1")
