"""Errors are httpx's own: their classes, their messages, their requests. And everything pickles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import spanwire
from spanwire import CircuitBreaker, Fixed, Policy, Retry, Timeout
from spanwire.testing import Answer as Faulty
from spanwire.testing import FaultyOrigin, SpanwireTelemetry
from tests.integration.support import Answer, Driven, Driver, Site, Twins, outcomes

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2?\\.:ResourceWarning")
"""The generators of httpx and of its httpcore warn on trio if an error ends a loop over them."""

ONCE = Policy(retry=None, circuit_breaker=None)

FAULTS = {
    "garbage": httpx.RemoteProtocolError,
    "hang_up": httpx.RemoteProtocolError,
    "truncate": httpx.RemoteProtocolError,
    "reset": httpx.ReadError,
    "reset_midway": httpx.ReadError,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_origin_that_fails_gives_httpx_error(twins: Twins, origin: FaultyOrigin, fault: Any) -> None:
    origin.script(Faulty(fault=fault, body="x" * 100))
    twins.ours = {"policy": ONCE}
    kind, _ = twins(lambda client: client.get(origin.url))
    assert kind is FAULTS[fault]
    assert outcomes(twins.telemetry) == ["failure"]


@pytest.mark.parametrize("fault", ["truncate", "reset_midway"])
def test_a_body_that_fails_gives_httpx_error_while_it_is_read(twins: Twins, origin: FaultyOrigin, fault: Any) -> None:
    origin.script(Faulty(fault=fault, body="x" * 100))

    def story(client: Driven) -> None:
        with client.stream("GET", origin.url) as response:
            for _ in response.iter_bytes():
                pass

    kind, _ = twins(story)
    assert kind is FAULTS[fault]
    assert outcomes(twins.telemetry) == ["failure"]
    (call,) = twins.telemetry.call_spans
    assert (call.attributes or {})["error.type"] == f"{httpx.__name__}.{kind.__name__}"


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda client, nobody: client.get(nobody), httpx.ConnectError),
        (lambda client, nobody: client.get("ftp://x.test/"), httpx.UnsupportedProtocol),
        (lambda client, nobody: client.get("/relative"), httpx.UnsupportedProtocol),
        (lambda client, nobody: client.get("http:///path"), httpx.UnsupportedProtocol),
        (lambda client, nobody: client.get(nobody, headers={"X-Bad": "a\nb"}), httpx.LocalProtocolError),
    ],
    ids=["nobody listens", "scheme", "relative", "no host", "header"],
)
def test_a_request_that_cannot_be_sent_gives_httpx_error(
    twins: Twins, nobody: str, use: Callable[[Driven, str], object], kind: type[Exception]
) -> None:
    twins.ours = {"policy": ONCE}
    url = twins.site.url if kind is httpx.LocalProtocolError else nobody
    found, _ = twins(lambda client: use(client, url))
    assert found is kind


def test_a_url_that_is_none_gives_httpx_error(driver: Driver) -> None:
    for library in (driver.theirs, driver.ours):
        with pytest.raises(httpx.InvalidURL, match="Invalid port"):
            library().get("http://x.test:nope/")


def test_a_body_that_cannot_be_decoded_gives_httpx_error(twins: Twins) -> None:
    twins.ours = {"policy": ONCE}
    twins.site.answer = lambda seen: Answer(200, b"this is not gzip", {"content-encoding": "gzip"})
    kind, _ = twins(lambda client: client.get(twins.site.url))
    assert kind is httpx.DecodingError
    assert outcomes(twins.telemetry) == ["failure"]


def test_a_transports_own_error_comes_through_as_it_is(driver: Driver) -> None:
    class Odd(Exception):
        """Nothing that httpx knows."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise Odd("as it is")

    client = driver.ours(transport=driver.transport(fail))
    with pytest.raises(Odd, match="as it is") as caught:
        client.get("http://x.test/")
    assert spanwire.report(caught.value).error == "tests.Odd" or spanwire.report(caught.value).error.endswith("Odd")


def test_an_error_knows_its_request(driver: Driver, nobody: str) -> None:
    client = driver.ours(policy=ONCE)
    request = client.build_request("GET", nobody)
    with pytest.raises(httpx.ConnectError) as caught:
        client.send(request)
    assert caught.value.request is request


@pytest.mark.parametrize("where", ["attempt", "body", "refusal"])
def test_our_own_errors_are_httpx_ones_and_know_their_request(
    driver: Driver, site: Site, where: str, telemetry: SpanwireTelemetry
) -> None:
    def answer(seen: Any) -> Answer:
        def held() -> Any:
            yield b"first"
            site.gate.wait(5)

        if where == "body":
            return Answer(200, held())
        if where == "attempt":
            site.gate.wait(5)
        return Answer(500)

    site.answer = answer
    breaker = CircuitBreaker(consecutive_failures=1) if where == "refusal" else None
    client = driver.ours(policy=Policy(timeout=Timeout(total=0.1), retry=None, circuit_breaker=breaker))
    if where == "refusal":
        client.get(site.url)
    with pytest.raises(spanwire.CircuitOpen if where == "refusal" else spanwire.DeadlineExceeded) as caught:
        client.get(site.url)
    assert isinstance(caught.value, httpx.TransportError if where == "refusal" else httpx.TimeoutException)
    assert str(caught.value.request.url) == site.url
    assert caught.value.report is not None


# -- pickling ---------------------------------------------------------------------------------------------------------


def _again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_a_report_pickles_with_all_that_it_tells(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    site.script(503, 200)
    policy = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
    client = driver.ours(policy=policy, **telemetry.providers)
    report = spanwire.report(client.get(f"{site.url}/a?token=secret"))
    again = _again(report)
    assert again.as_dict() == report.as_dict()
    assert str(again) == str(report)
    assert (again.outcome, len(again.attempts), again.decisions) == ("success", 2, report.decisions)
    assert b"secret" not in pickle.dumps(report)
    assert copy.deepcopy(report).as_dict() == report.as_dict()


def test_a_report_of_a_refused_call_pickles(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    site.script(500)
    policy = Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1))
    client = driver.ours(policy=policy, **telemetry.providers)
    client.get(site.url)
    with pytest.raises(spanwire.CircuitOpen) as caught:
        client.get(site.url)
    again = _again(caught.value)
    assert (type(again), str(again)) == (spanwire.CircuitOpen, str(caught.value))
    assert (again.breaker, again.retry_after) == (caught.value.breaker, caught.value.retry_after)
    assert again.report.as_dict() == caught.value.report.as_dict()
    assert caught.value.tripped_by is not None


def test_httpx_errors_of_our_clients_pickle_with_their_report(driver: Driver, nobody: str) -> None:
    client = driver.ours(policy=ONCE)
    with pytest.raises(httpx.ConnectError) as caught:
        client.get(nobody)
    again = _again(caught.value)
    assert (type(again), str(again)) == (httpx.ConnectError, str(caught.value))
    assert spanwire.report(again).as_dict() == spanwire.report(caught.value).as_dict()


def test_a_deadline_pickles_with_its_phases(driver: Driver, site: Site) -> None:
    site.answer = site.stall
    with pytest.raises(spanwire.DeadlineExceeded) as caught:
        driver.ours(policy=Policy(timeout=Timeout(total=0.05), retry=None)).get(site.url)
    again = _again(caught.value)
    assert (again.total, again.phase, again.phases) == (0.05, "attempt", caught.value.phases)
    assert again.report.outcome == "failure"


def test_a_response_of_ours_pickles_as_httpx_own(driver: Driver, site: Site) -> None:
    again = _again(driver.ours().get(site.url))
    assert (again.status_code, again.content, str(again.request.url)) == (200, b"ok", site.url)
