"""What an origin may be told: the time that is left, the number of the attempt, and the trace id."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import spanwire
from spanwire import Fixed, Policy, Retry, Timeout

RETRY = Retry(max_attempts=3, backoff=Fixed(seconds=0.001))


def answering(seen: list[httpx.Request], *statuses: int) -> Any:
    rest = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(httpx.Request(request.method, request.url, headers=request.headers))
        status = rest.pop(0) if rest else 200
        return httpx.Response(status, headers={"location": "http://other.test/"} if status == 302 else {})

    return httpx.MockTransport(answer)


def test_an_allowed_host_is_told_the_seconds_left_and_the_attempt() -> None:
    seen: list[httpx.Request] = []
    timeout = Timeout(total=30, propagate="X-Request-Deadline", propagate_attempt="X-Attempt", propagate_to=("a.test",))
    with spanwire.Client(transport=answering(seen, 503, 200), policy=Policy(timeout=timeout, retry=RETRY)) as client:
        client.get("http://a.test/")
    assert [request.headers["x-attempt"] for request in seen] == ["1", "2"]
    left = [float(request.headers["x-request-deadline"]) for request in seen]
    assert 29 < left[1] < left[0] <= 30


def test_another_host_is_told_nothing_even_after_a_redirect() -> None:
    seen: list[httpx.Request] = []
    timeout = Timeout(propagate="X-Request-Deadline", propagate_attempt="X-Attempt", propagate_to=("a.test",))
    policy = Policy(timeout=timeout)
    with spanwire.Client(transport=answering(seen, 302), policy=policy, follow_redirects=True) as client:
        client.get("http://a.test/")
    assert ["x-attempt" in request.headers for request in seen] == [True, False]
    assert "x-request-deadline" not in seen[1].headers


def test_without_a_total_there_is_no_time_to_tell() -> None:
    seen: list[httpx.Request] = []
    timeout = Timeout(total=None, propagate="X-Request-Deadline", propagate_to=("a.test",))
    with spanwire.Client(transport=answering(seen), policy=Policy(timeout=timeout)) as client:
        client.get("http://a.test/")
    assert "x-request-deadline" not in seen[0].headers


def test_the_trace_id_goes_along_where_it_is_asked_for(telemetry: Any) -> None:
    seen: list[httpx.Request] = []
    policy = Policy(retry=RETRY)
    transport = answering(seen, 503)
    with spanwire.Client(
        transport=transport, policy=policy, correlation_header="X-Trace-ID", **telemetry.providers
    ) as client:
        report = spanwire.report(client.get("http://a.test/"))
    assert [request.headers["x-trace-id"] for request in seen] == [report.trace_id] * 2


def test_a_call_that_nobody_traces_has_an_id_of_its_own_and_the_callers_wins() -> None:
    seen: list[httpx.Request] = []
    policy = Policy(retry=RETRY)
    with spanwire.Client(transport=answering(seen, 503), policy=policy, correlation_header="X-Trace-ID") as client:
        client.get("http://a.test/")
        client.get("http://a.test/", headers={"x-trace-id": "mine"})
    ids = [request.headers["x-trace-id"] for request in seen]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 32
    assert ids[2] == "mine"


@pytest.mark.parametrize("name", ["X Trace", "", "X\r\nY", 7])
def test_an_impossible_header_is_refused_by_its_name(name: Any) -> None:
    with pytest.raises(spanwire.ConfigurationError, match="correlation_header"):
        spanwire.Client(correlation_header=name)
