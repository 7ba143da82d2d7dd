"""One `httpx.Request` may be sent by many threads at once: each send is a call of its own."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from spanwire import AsyncTransport, Client, Policy, Transport, report

POLICY = Policy(retry=None, circuit_breaker=None)


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def answer(request: httpx.Request) -> httpx.Response:
    time.sleep(0)
    return httpx.Response(200)


def attempts_of_each_call(client: Any, request: httpx.Request) -> Counter[int]:
    seen: Counter[int] = Counter()
    lock = threading.Lock()
    together = threading.Barrier(8)

    def send() -> None:
        for _ in range(100):
            together.wait()
            number = len(report(client.send(request)).attempts)
            with lock:
                seen[number] += 1

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def test_by_the_threads_of_a_client() -> None:
    with Client(transport=httpx.MockTransport(answer), policy=POLICY) as client:
        request = client.build_request("GET", "http://origin.test/")
        client.send(request)
        assert attempts_of_each_call(client, request) == {1: 800}


def test_by_the_threads_of_a_bare_transport() -> None:
    """They became one call with many attempts, and one deadline."""
    with httpx.Client(transport=Transport(POLICY, httpx.MockTransport(answer))) as client:
        request = client.build_request("GET", "http://origin.test/")
        assert attempts_of_each_call(client, request) == {1: 800}


async def _twice(client: httpx.AsyncClient, request: httpx.Request) -> list[int]:
    first = await client.send(request, stream=True)
    second = await client.send(request)
    await first.aclose()
    return [len(report(response).attempts) for response in (first, second)]


def test_while_its_first_answer_is_still_read() -> None:
    import anyio

    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            yield b"ok"

    async def main() -> list[int]:
        wire = httpx.MockTransport(lambda request: httpx.Response(200, stream=Stream()))
        async with httpx.AsyncClient(transport=AsyncTransport(POLICY, wire)) as client:
            return await _twice(client, client.build_request("GET", "http://origin.test/"))

    assert anyio.run(main) == [1, 1]


def test_with_a_body_that_is_made_while_it_is_sent() -> None:
    """A form with a file is no text that could be copied; whoever sends it again reads the file again."""

    def noting(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(request.read()))

    with httpx.Client(transport=Transport(POLICY, httpx.MockTransport(noting))) as client:
        request = client.build_request("POST", "http://origin.test/", files={"file": ("a.txt", b"in the file")})
        first = client.send(request, stream=True)
        second = client.send(request)
        assert [len(report(response).attempts) for response in (first, second)] == [1, 1]
        assert b"in the file" in second.content
        assert b"in the file" in first.read()


def test_the_correlation_header_is_that_of_the_call_and_not_of_the_one_before() -> None:
    seen: list[str] = []

    def noting(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["X-Trace-ID"])
        return httpx.Response(200)

    with Client(transport=httpx.MockTransport(noting), policy=POLICY, correlation_header="X-Trace-ID") as client:
        request = client.build_request("GET", "http://origin.test/")
        client.send(request)
        client.send(request)
        client.get("http://origin.test/", headers={"X-Trace-ID": "mine"})
    assert seen[0] != seen[1]
    assert seen[2] == "mine"
