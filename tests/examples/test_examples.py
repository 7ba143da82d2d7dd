"""The examples, run against real servers on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import spanwire
from examples import flaky_origin, sdk, worker
from examples.fastapi_service import test_app as fastapi_service
from spanwire import CircuitBreaker, Fixed, Policy, Retry
from spanwire.testing import Answer, FaultyOrigin
from tests.cli.servers import Receiver

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.001)), circuit_breaker=None)


def run(name: str, *arguments: str, **environment: str) -> str:
    """What an example prints, run as a user runs it."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- the policy file --------------------------------------------------------------------------------------------------


def test_the_policy_file_names_every_part_and_is_possible() -> None:
    policy = Policy.from_file(EXAMPLES / "policy.yaml")
    assert policy.model_fields_set == set(Policy.model_fields)


# -- the origin to try things on --------------------------------------------------------------------------------------


def test_the_flaky_origin_fails_once_for_each_path() -> None:
    server = flaky_origin.serve(0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            assert [client.get(path).status_code for path in ("/a", "/a", "/b")] == [503, 200, 503]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- the FastAPI service: its own fixtures and tests ------------------------------------------------------------------

service = fastapi_service.service
test_a_failure_of_the_stock_service_is_not_seen = (
    fastapi_service.test_a_failure_of_the_stock_service_is_not_seen_by_who_orders
)
test_a_stock_service_that_is_down_is_asked_no_more = fastapi_service.test_a_stock_service_that_is_down_is_asked_no_more


# -- the worker -------------------------------------------------------------------------------------------------------


def test_the_worker_delivers_everything_once_for_each_key(origin: FaultyOrigin) -> None:
    origin.script(503, 200)
    told = run("worker.py", WEBHOOK_URL=origin.url)
    assert told.count("delivered after") == 10
    assert "'failed': 0" in told
    keys = [seen.headers["idempotency-key"] for seen in origin.requests]
    assert len(keys) == 11
    assert len(set(keys)) == 10


def test_the_worker_puts_back_what_a_breaker_refuses(origin: FaultyOrigin) -> None:
    origin.script(500, 200)
    policy = Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1, break_duration=0.1))
    with spanwire.Client(base_url=origin.url, policy=policy) as client, worker.Worker(client, threads=1) as at_work:
        for name in ("first", "second"):
            at_work.put(name, {})
        at_work.queue.join()
    ((failed, report),) = at_work.failed
    assert failed == "first"
    assert report.error == "500"
    assert [seen.headers["idempotency-key"] for seen in origin.requests] == ["first", "second"]


# -- the SDK ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(origin: FaultyOrigin, monkeypatch: pytest.MonkeyPatch) -> Iterator[sdk.Acme]:
    made = sdk.acme(origin.url, "sk-sesame")
    yield made
    made.close()


def test_the_sdk_is_retried_by_its_client_with_one_key(origin: FaultyOrigin, acme: sdk.Acme) -> None:
    origin.script(503, Answer(200, body=json.dumps({"text": "42"})))
    assert acme.complete("the answer?") == "42"
    first, second = origin.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["authorization"] == "Bearer sk-sesame"


def test_the_sdk_streams_as_ever(origin: FaultyOrigin, acme: sdk.Acme) -> None:
    origin.script(Answer(body="four two", drip=0.001, pieces=2))
    assert "".join(acme.stream("the answer?")) == "four two"


def test_the_sdk_works_without_spanwire_too(origin: FaultyOrigin) -> None:
    origin.script(503, 503, Answer(200, body=json.dumps({"text": "42"})))
    plain = sdk.Acme("sk-sesame", base_url=origin.url)
    assert plain.complete("the answer?") == "42"
    plain.close()


# -- telemetry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--own-sdk",)], ids=["setup", "own_sdk"])
def test_a_script_exports_its_spans_and_metrics(origin: FaultyOrigin, arguments: tuple[str, ...]) -> None:
    origin.script(503, 503, 200)  # one of the waits is so long that it has a span
    with Receiver() as collector:
        told = run("tracing.py", origin.url, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert {span.name for span in collector.spans} == {"call GET", "GET", "wait backoff"}
        assert "spanwire.call.duration" in collector.metrics
        assert collector.services == {"tracing-example"}
        assert f"{collector.spans[0].trace_id.hex()}" in told
