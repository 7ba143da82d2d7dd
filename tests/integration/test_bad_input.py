"""What is impossible is refused where it is given: the error names it and the remedy, and nothing is half-applied."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import spanwire
from spanwire import CircuitBreaker, ConfigurationError, Connection, Fallback, Fixed, Policy, Retry, Timeout
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driver, Site

MAKERS: dict[str, Callable[..., Any]] = {
    "Client": spanwire.Client,
    "AsyncClient": spanwire.AsyncClient,
    "Transport": spanwire.Transport,
    "AsyncTransport": spanwire.AsyncTransport,
}


class Nothing:
    """No transport, no interceptor, no provider."""


def of(name: str, sync: Any, asynchronous: Any) -> Any:
    """What is the wrong colour for a client or transport of a name."""
    return asynchronous if name in ("Client", "Transport") else sync


# -- arguments --------------------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "policy: a dict": ({"policy": {"retry": None}}, ["policy", "dict", "spanwire.Policy"]),
    "policy: a part": ({"policy": Retry()}, ["policy", "Retry", "spanwire.Policy"]),
    "policy: the class": ({"policy": Policy}, ["policy", "spanwire.Policy"]),
    "name: a number": ({"name": 42}, ["name", "int", "'billing'"]),
    "attempt_spans": ({"attempt_spans": "mine"}, ["attempt_spans", "'mine'", "'own'", "'instrumentation'"]),
    "interceptors: one alone": ({"interceptors": spanwire.LoggingInterceptor()}, ["interceptors", "a list"]),
    "interceptors: a word": ({"interceptors": "logging"}, ["interceptors", "str", "a list"]),
    "interceptors: nothing useful": ({"interceptors": [Nothing()]}, ["interceptors", "Nothing", "on_request"]),
    "interceptors: a class": ({"interceptors": [spanwire.LoggingInterceptor]}, ["LoggingInterceptor", "an instance"]),
    "interceptors: around": (
        {"interceptors": [spanwire.LoggingInterceptor(around="world")]},  # type: ignore[arg-type]
        ["around", "'world'", "'call'", "'attempt'"],
    ),
    "listeners: one alone": ({"listeners": spanwire.Listener()}, ["listeners", "Listener", "a list"]),
    "listeners: nothing useful": ({"listeners": [Nothing()]}, ["listeners", "Nothing", "spanwire.Listener"]),
    "listeners: a class": ({"listeners": [spanwire.Listener]}, ["listeners", "Listener", "instances"]),
    "tracer_provider": ({"tracer_provider": Nothing()}, ["tracer_provider", "Nothing", "get_tracer"]),
    "meter_provider": ({"meter_provider": "global"}, ["meter_provider", "str", "get_meter"]),
    "logger_provider": ({"logger_provider": Nothing}, ["logger_provider", "Nothing", "get_logger"]),
    "clock": ({"clock": 3.0}, ["clock", "float", "time.monotonic"]),
    "random": ({"random": 7}, ["random", "int", "random.Random"]),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_impossible_argument_is_named_with_its_remedy(telemetry: SpanwireTelemetry, maker: str, case: str) -> None:
    arguments, words = ARGUMENTS[case]
    refused(lambda: MAKERS[maker](**{**telemetry.providers, **arguments}), words, telemetry)


def refused(
    build: Callable[[], object],
    words: list[str],
    telemetry: SpanwireTelemetry,
    kind: type[Exception] = ConfigurationError,
) -> None:
    """It is refused in these words, and leaves nothing behind: no account, no thread, no warning."""
    gc.collect()  # what other tests have left behind
    threads = {*threading.enumerate()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(kind) as caught:
            build()
        points = telemetry.points("spanwire.policy.info")
        gc.collect()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert points == [], "no account is open, even while the error is held"
    assert {*threading.enumerate()} <= threads
    assert [str(warning.message) for warning in told] == []


@pytest.mark.parametrize("maker", MAKERS)
def test_a_transport_of_the_other_colour_is_refused(telemetry: SpanwireTelemetry, maker: str) -> None:
    wrong = of(maker, httpx.HTTPTransport(), httpx.AsyncHTTPTransport())
    argument = "wrapped" if maker.endswith("Transport") else "transport"
    words = [type(wrong).__name__, of(maker, "handle_async_request", "handle_request"), of(maker, "async", "sync")]
    refused(lambda: MAKERS[maker](**{argument: wrong}, **telemetry.providers), words, telemetry)
    refused(lambda: MAKERS[maker](**{argument: Nothing()}, **telemetry.providers), ["Nothing"], telemetry)


@pytest.mark.parametrize("maker", ["Client", "AsyncClient"])
def test_a_mount_of_the_other_colour_is_refused(telemetry: SpanwireTelemetry, maker: str) -> None:
    wrong = of(maker, spanwire.Transport(), spanwire.AsyncTransport())
    mounts = {"http://a.test": httpx.MockTransport(lambda request: httpx.Response(200)), "http://b.test": wrong}
    refused(lambda: MAKERS[maker](mounts=mounts, **telemetry.providers), [type(wrong).__name__], telemetry)


@pytest.mark.parametrize("maker", ["Client", "Transport"])
def test_a_wire_of_the_other_colour_is_refused(telemetry: SpanwireTelemetry, maker: str) -> None:
    policy = Policy(connection=Connection(wire="aiohttp"))
    words = ["aiohttp", "AsyncClient", "httpcore2"]
    refused(lambda: MAKERS[maker](policy=policy, **telemetry.providers), words, telemetry)


@pytest.mark.parametrize("maker", ["Client", "AsyncClient"])
@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"no_such_argument": 1}, TypeError, ["no_such_argument"]),
        ({"base_url": "http://x:nope/"}, httpx.InvalidURL, ["Invalid port", "nope"]),
        ({"base_url": 42}, TypeError, ["int"]),
        ({"auth": 42}, TypeError, ['"auth"', "42"]),
        ({"proxy": "gopher://h"}, ValueError, ["gopher"]),
        ({"proxy": "http://h:nope"}, httpx.InvalidURL, ["nope"]),
        ({"headers": 42}, TypeError, ["int"]),
        ({"mounts": {"nonsense": None}}, ValueError, ["nonsense"]),
        ({"timeout": httpx.USE_CLIENT_DEFAULT, "limits": None}, AttributeError, ["max_connections"]),
    ],
)
def test_httpx_own_arguments_are_refused_by_httpx(
    telemetry: SpanwireTelemetry, maker: str, arguments: dict[str, Any], kind: type[Exception], words: list[str]
) -> None:
    theirs = httpx.Client if maker == "Client" else httpx.AsyncClient
    with pytest.raises(kind):
        theirs(**arguments)
    refused(lambda: MAKERS[maker](**arguments, **telemetry.providers), words, telemetry, kind)


# -- policies, files, variables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: Policy(retry={"max_atempts": 3}),  # type: ignore[arg-type]
            ["retry.max_atempts", "did you mean `max_attempts`"],
        ),
        (lambda: Policy(retries=None), ["retries", "did you mean `retry`"]),  # type: ignore[call-arg]
        (lambda: Policy(retry=3), ["retry", "3"]),  # type: ignore[arg-type]
        (lambda: Policy(retry=CircuitBreaker()), ["retry"]),  # type: ignore[arg-type]
        (lambda: Retry(max_attempts=0), ["max_attempts", "0", "greater than or equal to 1"]),
        (lambda: Retry(on_status=[99]), ["on_status", "99"]),  # type: ignore[arg-type]
        (lambda: Timeout(total=1, attempt=2), ["attempt", "2", "total", "1", "lower", "raise"]),
        (lambda: Timeout(total=float("nan")), ["total", "nan"]),
        (lambda: CircuitBreaker(failure_ratio=1.5), ["failure_ratio", "1.5"]),
        (lambda: Connection(wire="curl"), ["wire", "'curl'", "httpcore2"]),  # type: ignore[arg-type]
        (lambda: Connection(key_file="k.pem"), ["key_file", "cert_file"]),  # type: ignore[arg-type]
        (lambda: Connection(max_connections=0), ["max_connections", "0"]),
        (Fallback, ["nothing to serve", "response", "function"]),
        (lambda: Fixed(seconds=-1), ["seconds", "-1"]),
    ],
)
def test_an_impossible_policy_is_named_with_its_remedy(build: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(("field", "text"), [("ca_file", None), ("ca_file", "no certificate"), ("cert_file", "none")])
def test_a_file_of_the_connection_that_is_of_no_use_is_named(
    telemetry: SpanwireTelemetry, tmp_path: Path, maker: str, field: str, text: str | None
) -> None:
    path = tmp_path / "some.pem"
    if text is not None:
        path.write_text(text)
    policy = Policy(connection=Connection(**{field: path}))  # type: ignore[arg-type]
    refused(lambda: MAKERS[maker](policy=policy, **telemetry.providers), [field, str(path)], telemetry)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("missing.yaml", None, ["missing.yaml"]),
        ("empty.yaml", "", ["empty.yaml", "empty"]),
        ("policy.ini", "[retry]", ["policy.ini", ".yaml", ".toml", ".json"]),
        ("policy.yaml", "retry: {max_attempts: 0}", ["policy.yaml", "retry.max_attempts", "0"]),
        ("policy.yaml", "retry: [", ["policy.yaml"]),
        ("policy.yaml", "- retry", ["policy.yaml"]),
        ("policy.json", '{"retry": {"max_atempts": 1}}', ["policy.json", "max_atempts", "max_attempts"]),
        ("policy.toml", "retry = ", ["policy.toml"]),
    ],
)
def test_an_impossible_file_is_named_with_what_is_wrong_in_it(
    tmp_path: Path, name: str, text: str | None, words: list[str]
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    for load in (Policy.from_file, Policy.watch):
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SPANWIRE_RETRY__MAX_ATTEMPTS", "many", ["SPANWIRE_RETRY__MAX_ATTEMPTS", "many"]),
        ("SPANWIRE_RETRY__MAX_ATEMPTS", "3", ["SPANWIRE_RETRY__MAX_ATEMPTS", "max_attempts"]),
        ("SPANWIRE_RETRY", "{", ["retry"]),
        ("SPANWIRE_CONNECTION__WIRE", "curl", ["WIRE", "curl", "httpcore2"]),
    ],
)
def test_an_impossible_variable_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_env()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SPANWIRE_EVENTS", "nowhere", ["`SPANWIRE_EVENTS` = 'nowhere'", "span, log, both"]),
        ("SPANWIRE_LOG", "loud", ["`SPANWIRE_LOG` = 'loud'", "debug"]),
    ],
)
def test_a_variable_of_telemetry_that_is_impossible_is_named(variable: str, value: str, words: list[str]) -> None:
    environment = {variable: value, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import spanwire; spanwire.Client()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("spanwire.errors.ConfigurationError")
    assert all(word in last for word in words), last


# -- one request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"retires": False}, ["retires", "did you mean `retry`"]),
        ({"retry": 3}, ["retry", "3"]),
        ({"retry": {"max_attempts": 0}}, ["retry.max_attempts", "0"]),
        ({"timeout": 3}, ["timeout", "3"]),
        ({"timeout": Timeout}, ["timeout"]),
        ({"connection": Connection()}, ["connection", "another client"]),
        ({"route": ""}, ["route", "template"]),
        ({"route": 42}, ["route", "42", "template"]),
        ({"idempotent": "yes"}, ["idempotent", "True"]),
        ({"raise_for_status": "yes"}, ["raise_for_status", "True"]),
    ],
)
def test_an_impossible_override_is_refused_before_anything_is_sent(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        spanwire.override(**arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# -- a client at work -------------------------------------------------------------------------------------------------


def test_an_impossible_reload_changes_nothing(driver: Driver, site: Site) -> None:
    policy = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.001)))
    client = driver.ours(policy=policy)
    for other, words in [
        ({"retry": None}, ["policy", "dict"]),
        (None, ["policy"]),
        (Policy(connection=Connection(max_connections=7)), ["connection", "new client"]),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            client.reload(other)
        assert all(word in str(caught.value) for word in words), str(caught.value)
        assert client.policy is policy
    site.answer = lambda seen: Answer(503)
    assert len(spanwire.report(client.get(site.url)).attempts) == 2


def test_an_impossible_interceptor_is_not_added(driver: Driver, site: Site) -> None:
    client = driver.ours()
    for one, around in (
        (Nothing(), None),
        (spanwire.LoggingInterceptor(), "world"),
        (spanwire.LoggingInterceptor, None),
    ):
        with pytest.raises(ConfigurationError):
            client.interceptors.add(one, around=around)
    with pytest.raises(ValueError, match="LoggingInterceptor is not among"):
        client.interceptors.remove(spanwire.LoggingInterceptor())
    assert len(client.interceptors) == 0
    assert client.get(site.url).status_code == 200


@pytest.mark.parametrize("thing", [httpx.Response(200), ValueError("theirs"), httpx.ConnectError("theirs")])
def test_what_did_not_come_from_us_has_no_report(thing: Any) -> None:
    with pytest.raises(LookupError, match=f"{type(thing).__name__} carries no report"):
        spanwire.report(thing)


def test_an_error_that_cannot_be_written_on_comes_through(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "report":
                raise AttributeError(name)
            super().__setattr__(name, value)

    def fail(request: httpx.Request) -> httpx.Response:
        raise Frozen("as it is")

    client = driver.ours(transport=driver.transport(fail), **telemetry.providers)
    with pytest.raises(Frozen, match="as it is"):
        client.get("http://x.test/")
    assert [(span.attributes or {})["spanwire.outcome"] for span in telemetry.call_spans] == ["failure"]


def test_a_fallback_that_is_no_response_is_named(driver: Driver, site: Site) -> None:
    site.script(500)
    fallback = Fallback(function=lambda request, outcome: "sorry")
    client = driver.ours(policy=Policy(retry=None, fallback=fallback), limits=httpx.Limits(max_connections=1))
    for _ in range(2):
        with pytest.raises(TypeError, match=r"returned str: return an httpx\.Response"):
            client.get(site.url, timeout=5)
