"""The 38 pitfalls that others fell into: each has its test here or elsewhere, or waits for the policy that it concerns.

The numbers are those of the study of the peers. `ELSEWHERE` names the tests that other files have, and a test holds
that they are there; a pitfall with a test of its own here has it under its number.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import contextvars
import functools
import gc
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor

import spanwire
from spanwire import CircuitBreaker, Fallback, Fixed, Policy, Retry, Timeout
from spanwire.signals import EVERYWHERE
from spanwire.telemetry import log_decisions
from spanwire.testing import Answer, FakeClock, FaultyOrigin, Recorder, SpanwireTelemetry
from tests.integration.counting import Tally
from tests.testing.colours import Colour

URL = "http://origin.test"
ROOT = Path(__file__).parent

ELSEWHERE: dict[int, tuple[str, ...]] = {
    2: (
        "policies/retry/test_policy.py::test_pitfall_2_a_one_shot_body_is_sent_once_and_the_outcome_is_the_origins_own",
        "policies/retry/test_replay.py::test_a_body_that_is_gone_once_it_was_sent",
    ),
    3: (
        "policies/retry/test_policy.py::test_pitfall_3_no_body_is_buffered_unasked",
        "policies/retry/test_replay.py::test_nothing_is_read_or_buffered_to_find_out",
        "wire/test_streaming.py::test_a_body_is_sent_piece_by_piece",
    ),
    5: (
        "integration/test_drop_in_transports.py::test_transports_and_mounts_are_entered_and_closed_as_by_httpx",
        "integration/test_drop_in_lifetime.py::test_a_client_can_be_closed_again_and_says_whether_it_is",
    ),
    6: (
        "integration/test_drop_in_transports.py::test_a_proxy_of_the_environment_is_used_and_the_policies_apply_there",
        "integration/test_drop_in_transports.py::test_a_given_transport_is_wrapped_and_not_bypassed",
        "integration/test_drop_in_transports.py::test_a_given_transport_goes_before_the_environments_proxies",
        "integration/test_drop_in_transports.py::test_a_proxy_is_given_in_each_of_httpx_forms",
        "integration/test_drop_in_transports.py::test_mounts_are_chosen_as_by_httpx_and_the_policies_apply_there",
    ),
    7: (
        "wire/test_slots.py::test_no_slot_is_lost_by_cancellations",
        "wire/test_slots.py::test_no_slot_is_lost_by_pool_timeouts",
        "wire/test_slots.py::test_a_request_cancelled_in_the_moment_it_gets_a_slot_gives_it_back",
    ),
    8: (
        "policies/circuit_breaker/test_half_open.py::test_a_cancelled_probe_gives_its_permit_back_and_decides_nothing",
        "policies/circuit_breaker/test_probing.py::test_a_coroutine_that_is_dropped_in_its_middle_gives_the_permit_back",
    ),
    9: (
        "policies/circuit_breaker/test_half_open.py::test_a_stale_outcome_never_settles_the_wrong_state",
        "policies/circuit_breaker/test_half_open.py::test_a_probe_of_an_earlier_half_open_period_does_not_settle_a_later_one",
    ),
    10: (
        "policies/circuit_breaker/test_policy.py::test_retries_do_not_pump_the_breaker_unseen_each_attempt_is_one_outcome_and_asks_again",
        "policies/retry/test_policy.py::test_pitfall_10_a_breaker_below_is_asked_before_each_attempt",
    ),
    11: (
        "policies/circuit_breaker/test_probing.py::test_a_probe_without_evidence_gives_its_permit_back_and_does_not_reopen",
    ),
    12: (
        "policies/circuit_breaker/test_half_open.py::test_a_half_open_caller_without_a_free_permit_is_refused_at_once_and_never_queued",
        "policies/circuit_breaker/test_probing.py::test_a_concurrent_caller_in_half_open_is_refused_at_once_and_never_queued",
    ),
    14: ("integration/test_drop_in_lifetime.py::test_an_async_client_goes_on_from_loop_to_loop",),
    15: (
        "integration/test_fork.py::test_workers_do_not_share_a_connection_with_their_parent",
        "integration/test_fork.py::test_a_worker_never_waits_for_a_lock_that_a_thread_of_its_parent_held",
        "integration/test_fork.py::test_four_workers_with_an_inherited_client_and_reader_each_count_from_zero",
        "integration/test_reload.py::test_watching_starts_again_in_a_forked_worker",
        "runtime/test_race_threads.py::test_a_forked_child_has_threads_of_its_own",
    ),
    18: (
        "policies/retry/test_policy.py::test_pitfall_18_redirects_share_the_attempts_of_their_call",
        "integration/test_drop_in.py::test_a_redirect_to_another_origin_loses_the_authorization",
    ),
    19: ("integration/test_drop_in.py::test_redirects_keep_their_history_and_the_cookies_of_every_hop",),
    22: (
        "policies/retry/test_policy.py::test_pitfall_22_retry_after_is_never_shortened",
        "policies/retry/test_policy.py::test_pitfall_22_a_retry_after_that_is_too_long_is_given_up_at_once",
        "policies/test_retry_after.py::test_reading_never_raises_and_is_never_negative",
        "policies/test_retry_after.py::test_an_endless_wait_stays_endless",
    ),
    26: (
        "integration/test_streams.py::test_the_deadline_ends_a_slow_drip_at_its_next_drop",
        "integration/test_streams.py::test_the_deadline_ends_a_body_that_stalls_and_blames_the_body",
    ),
    27: (
        "integration/test_streams.py::test_a_stream_may_be_read_and_closed_by_another_task",
        "integration/test_streams.py::test_a_generator_over_a_stream_that_is_closed_early_ends_the_call",
    ),
    28: (
        "policies/retry/test_policy.py::test_pitfall_28_a_refused_stream_is_repeated_whatever_the_method_and_a_lost_connection_is_not",
        "wire/test_http2.py::test_a_refused_stream_was_provably_not_processed",
        "wire/test_http2.py::test_a_broken_stream_may_have_been_processed",
    ),
    29: (
        "policies/retry/test_policy.py::test_pitfall_29_a_post_that_provably_never_left_is_repeated",
        "policies/retry/test_policy.py::test_pitfall_29_a_post_that_may_have_left_is_not_repeated",
        "wire/test_unsent.py::test_it_was_provably_not_sent",
    ),
    30: (
        "integration/test_counts.py::test_labels_beyond_thirty_two_are_folded_together_and_counted",
        "integration/test_counts.py::test_durations_are_folded_and_counted_too",
        "test_ledger.py::test_names_of_clients_beyond_the_limit_are_told_together_and_counted",
        "integration/test_secrets.py::test_a_call_that_is_full_of_secrets_shows_none",
        "integration/test_vocabulary.py::test_metrics_have_declared_labels_of_the_declared_sets",
    ),
    31: (
        "integration/test_interceptors.py::test_a_listener_that_fails_breaks_no_call_and_is_counted",
        "policies/circuit_breaker/test_probing.py::test_a_listener_that_fails_does_not_cost_a_permit",
        "test_ledger.py::test_an_observation_that_fails_takes_nothing_else_with_it_and_is_counted",
    ),
    35: (
        "integration/test_streams.py::test_no_span_is_current_while_a_stream_is_open_or_afterwards",
        "runtime/test_spawn.py::test_it_sees_nothing_of_the_call_that_started_it",
    ),
    36: (
        "policies/circuit_breaker/test_breakers.py::test_the_map_is_bounded_and_lets_go_of_the_least_recently_used",
        "policies/circuit_breaker/test_breakers.py::test_only_closed_breakers_with_nothing_in_flight_are_let_go",
        "test_target.py::test_origins_are_not_remembered_without_bound",
    ),
    38: ("testing/test_origin.py::test_connections_are_kept_unless_it_is_told_otherwise",),
}

LATER: dict[int, str] = {
    13: "a limit's slot given back at the headers and not at the body's end: there is no limit yet (Concurrency)",
    16: "retries that send an old signature or an expired token again: our own authentication comes later (Identity)",
    17: "a stampede for tokens: there is no token provider yet (Identity)",
    20: "cached answers that cross users: there is no cache yet (Cache)",
    21: "a fault of the cache that fails the call: there is no cache yet (Cache)",
    23: "a hedge that shares its request: there is no hedging yet (Hedge)",
    24: "hedges without a budget: there is no hedging yet (Hedge)",
    33: "a URL that is rewritten to an address: nothing rewrites URLs yet (LoadBalancing)",
    37: "a breaker in Redis, inline and not atomic: there is no shared view yet (Redis)",
}
"""The pitfalls of policies that are not there yet. Whoever writes one takes its number out of here."""


# -- the table ---------------------------------------------------------------------------------------------------------


def numbers_here() -> set[int]:
    names = [node.name for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.FunctionDef)]
    return {int(name.split("_")[2]) for name in names if name.startswith("test_pitfall_")}


def test_every_pitfall_has_its_place() -> None:
    assert sorted(numbers_here() | ELSEWHERE.keys() | LATER.keys()) == list(range(1, 39))
    assert not LATER.keys() & (numbers_here() | ELSEWHERE.keys())


@functools.cache
def found_in(path: str) -> frozenset[str]:
    """The tests of a file: what starts with `test_` on its top."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(getattr(node, "name", "") for node in tree.body)


@pytest.mark.parametrize("node", [node for nodes in ELSEWHERE.values() for node in nodes])
def test_the_tests_elsewhere_are_there(node: str) -> None:
    path, _, name = node.partition("::")
    assert name in found_in(path), f"{node} has gone: name the test that has taken its place"


# -- connections -------------------------------------------------------------------------------------------------------

ONE_CONNECTION: dict[str, Any] = {"limits": httpx.Limits(max_connections=1), "timeout": httpx.Timeout(5, pool=0.5)}


def test_pitfall_1_six_attempts_use_one_connection(colour: Colour, origin: FaultyOrigin, clock: FakeClock) -> None:
    origin.script(*[Answer(503, body=b"x" * 30_000)] * 5, 200)
    policy = Policy(retry=Retry(max_attempts=6, backoff=Fixed(seconds=1)), circuit_breaker=None)
    client = colour.client(policy=policy, clock=clock)
    assert colour.get(client, origin.url).status_code == 200
    assert len(origin.requests) == 6
    assert origin.connections == 1


def test_pitfall_1_a_long_refusal_is_not_read_and_its_connection_is_closed_and_not_lost(
    colour: Colour, origin: FaultyOrigin, clock: FakeClock
) -> None:
    origin.script(Answer(503, body=b"x" * 1_000_000), 200)
    client = colour.client(policy=Policy(retry=Retry(backoff=Fixed(seconds=1))), clock=clock, **ONE_CONNECTION)
    assert colour.get(client, origin.url).status_code == 200
    assert origin.connections == 2


def test_pitfall_2_a_put_of_a_generator_gets_the_refusal_itself(
    colour: Colour, origin: FaultyOrigin, recorder: Recorder
) -> None:
    async def pieces() -> Any:
        yield b"once"

    content = pieces() if colour.is_async else iter([b"once"])
    origin.script(503)
    client = colour.client(listeners=[recorder])
    assert colour.request(client, "PUT", origin.url, content=content).status_code == 503
    assert [request.body for request in origin.requests] == [b"once"]
    assert recorder.log == ["attempt 1 503", "retry.denied not_replayable"]


def raises(*_: Any) -> Any:
    raise ArithmeticError("a mistake of the user's")


FAILING: dict[str, Callable[[Colour], dict[str, Any]]] = {
    "should_retry": lambda colour: {"policy": Policy(retry=Retry(should_retry=raises))},
    "on_retry": lambda colour: {"policy": Policy(retry=Retry(on_retry=raises))},
    "is_failure": lambda colour: {"policy": Policy(circuit_breaker=CircuitBreaker(is_failure=raises))},
    "fallback": lambda colour: {"policy": Policy(retry=None, fallback=Fallback(function=raises))},
    "backoff": lambda colour: {"policy": Policy(retry=Retry(backoff=spanwire.Custom(function=raises)))},
    "interceptor": lambda colour: {"interceptors": [type("Fails", (), {"on_response": raises})()]},
    "event hook": lambda colour: {"event_hooks": {"response": [_hook(colour)]}, "policy": Policy(retry=None)},
}


def _hook(colour: Colour) -> Any:
    async def hook(response: httpx.Response) -> None:
        raises()

    return hook if colour.is_async else raises


@pytest.mark.parametrize("what", FAILING)
def test_pitfall_4_an_error_of_the_users_code_costs_no_connection(
    colour: Colour, origin: FaultyOrigin, what: str
) -> None:
    origin.script(503)
    client = colour.client(**FAILING[what](colour), **ONE_CONNECTION)
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="a mistake of the user's"):
            colour.get(client, origin.url)
    colour.until(lambda: client._transport._line.wire.connections()[0] == 0)


def test_pitfall_4_a_status_that_is_raised_costs_no_connection(colour: Colour, origin: FaultyOrigin) -> None:
    origin.script(404)
    client = colour.client(raise_for_status=True, **ONE_CONNECTION)
    for _ in range(3):
        with pytest.raises(httpx.HTTPStatusError):
            colour.get(client, origin.url)


def test_pitfall_4_a_cancelled_call_costs_no_connection(origin: FaultyOrigin) -> None:
    origin.script(*[Answer(hold=True)] * 3, 200)

    async def main() -> None:
        async with spanwire.AsyncClient(**ONE_CONNECTION) as client:
            for _ in range(3):
                with anyio.move_on_after(5) as scope:
                    async with anyio.create_task_group() as group:
                        group.start_soon(client.get, origin.url)
                        while not origin.held:
                            await anyio.sleep(0.001)
                        scope.cancel()
                while origin.held:
                    await anyio.sleep(0.001)
            assert (await client.get(origin.url)).status_code == 200

    for backend in ("asyncio", "trio"):
        origin.script(*[Answer(hold=True)] * 3, 200)
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("bare", [False, True])
def test_pitfall_5_closing_closes_what_is_below(colour: Colour, origin: FaultyOrigin, bare: bool) -> None:
    if bare:
        transport = (spanwire.AsyncTransport if colour.is_async else spanwire.Transport)()
        client = (httpx.AsyncClient if colour.is_async else httpx.Client)(transport=transport)
    else:
        client = colour.client()
    colour.get(client, origin.url)
    assert origin.open_connections == 1
    colour.close(client)
    colour.until(lambda: origin.open_connections == 0)


# -- the breaker -------------------------------------------------------------------------------------------------------

TRIPPING = Policy(
    retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1, break_duration=1, success_threshold=1)
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pitfall_8_a_cancelled_probe_of_a_client_gives_its_permit_back(
    backend: str, origin: FaultyOrigin, clock: FakeClock
) -> None:
    origin.script(500, Answer(hold=True), 200)

    async def main() -> None:
        async with spanwire.AsyncClient(policy=TRIPPING, clock=clock) as client:
            await client.get(origin.url)
            clock.advance(2)
            async with anyio.create_task_group() as group:
                group.start_soon(client.get, origin.url)
                while not origin.held:
                    await anyio.sleep(0.001)
                assert client.circuit_breakers[origin.url].state == "half_open"
                with pytest.raises(spanwire.CircuitOpen):  # pitfall 12: refused at once, not queued
                    await client.get(origin.url)
                group.cancel_scope.cancel()
            assert client.circuit_breakers[origin.url].state == "half_open"
            assert (await client.get(origin.url)).status_code == 200
            assert client.circuit_breakers[origin.url].state == "closed"

    anyio.run(main, backend=backend)


def test_pitfall_11_a_full_pool_does_not_open_a_half_open_breaker_again(
    colour: Colour, origin: FaultyOrigin, clock: FakeClock
) -> None:
    origin.script(500, 200)
    limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(5, pool=0.01)
    client = colour.client(policy=TRIPPING, clock=clock, limits=limits, timeout=timeout)
    colour.get(client, origin.url)
    clock.advance(2)
    held = colour.run(_straight(colour, client._transport._line.wire, origin.url))
    with pytest.raises(httpx.PoolTimeout):
        colour.get(client, origin.url)
    assert client.circuit_breakers[origin.url].state == "half_open"
    colour.run(held.aclose() if colour.is_async else held.close())
    assert colour.get(client, origin.url).status_code == 200
    assert client.circuit_breakers[origin.url].state == "closed"


def _straight(colour: Colour, wire: Any, url: str) -> Any:
    """A request below the policies, whose answer holds its connection."""
    request = httpx.Request("GET", url)
    return wire.handle_async_request(request) if colour.is_async else wire.handle_request(request)


# -- loops and threads -------------------------------------------------------------------------------------------------


def test_pitfall_14_one_async_client_serves_one_loop_after_the_other_with_all_its_state(origin: FaultyOrigin) -> None:
    """A kept connection belongs to its loop, as with httpx; breakers, budgets and counts belong to the client."""
    origin.script(500, 200)
    policy = Policy(retry=Retry(max_attempts=1), circuit_breaker=CircuitBreaker(consecutive_failures=1))
    limits = httpx.Limits(max_keepalive_connections=0)
    client = spanwire.AsyncClient(policy=policy, limits=limits)

    async def once() -> str:
        try:
            return str((await client.get(origin.url)).status_code)
        except spanwire.CircuitOpen:
            client.circuit_breakers[origin.url].reset()
            return "refused"

    told = [asyncio.run(once()), anyio.run(once, backend="trio"), asyncio.run(once()), anyio.run(once, backend="trio")]
    assert told == ["500", "refused", "200", "200"]
    assert client.metrics()["requests"]["total"] == 4
    asyncio.run(client.aclose())


def test_pitfall_14_one_async_client_serves_loops_in_several_threads_at_once() -> None:
    tally, statuses = Tally(), []
    policy = Policy(retry=Retry(backoff=Fixed(seconds=0), budget=None), circuit_breaker=CircuitBreaker(min_calls=9_999))
    client = spanwire.AsyncClient(policy=policy, transport=tally.transport)

    async def many() -> None:
        async def one() -> None:
            statuses.extend([(await client.get(URL + "/503/200")).status_code for _ in range(20)])

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)

    backends = ["asyncio", "trio", "asyncio", "trio"]
    threads = [threading.Thread(target=anyio.run, args=(many,), kwargs={"backend": backend}) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 400
    assert tally.requests == 800
    assert client.metrics()["requests"]["total"] == 400
    asyncio.run(client.aclose())


def test_pitfall_25_a_sync_client_needs_no_thread_for_its_deadlines(origin: FaultyOrigin) -> None:
    before = threading.active_count()
    with spanwire.Client(policy=Policy(timeout=Timeout(total=5, attempt=1))) as client:
        for _ in range(20):
            client.get(origin.url)
        assert threading.active_count() == before


# -- deadlines and redirects -------------------------------------------------------------------------------------------


def test_pitfall_18_redirects_share_the_deadline_and_the_attempts_of_their_call(
    colour: Colour, clock: FakeClock
) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        clock.advance(4)
        number = int(request.url.path.strip("/") or 0)
        hops.append(number)
        return httpx.Response(302, headers={"location": f"{URL}/{number + 1}"})

    hops: list[int] = []
    arguments = {"transport": httpx.MockTransport(slow), "clock": clock, "follow_redirects": True}
    client = colour.client(policy=Policy(timeout=Timeout(total=10)), **arguments)
    with pytest.raises(spanwire.DeadlineExceeded):
        colour.get(client, URL)
    assert hops == [0, 1, 2]

    def flaky(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        fine = tries.count(request.url.path) > 1
        return httpx.Response(302, headers={"location": request.url.path + "a"}) if fine else httpx.Response(503)

    tries: list[str] = []
    arguments["transport"] = httpx.MockTransport(flaky)
    client = colour.client(policy=Policy(retry=Retry(max_attempts=3, backoff=Fixed(seconds=1))), **arguments)
    assert colour.get(client, URL + "/a").status_code == 503
    assert tries == ["/a", "/a", "/aa", "/aa", "/aaa"], "two retries for the whole call, over all its hops"


# -- telemetry ---------------------------------------------------------------------------------------------------------


def test_pitfall_32_a_call_makes_no_client_and_no_tls_context(
    colour: Colour, origin: FaultyOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = colour.client(policy=Policy(retry=Retry(backoff=Fixed(seconds=0))))
    colour.get(client, origin.url)
    for module, name in ((httpx, "create_ssl_context"), (httpx, "Client"), (httpx, "AsyncClient")):
        monkeypatch.setattr(module, name, raises)
    origin.script(503, 200)
    for _ in range(3):
        colour.get(client, origin.url)
        colour.get(client, origin.url, extensions=spanwire.override(retry=False))
    assert origin.connections == 1


class Sends(spanwire.Listener):
    """Sends a request by the client that it listens to, at everything that it hears but of its own."""

    def __init__(self) -> None:
        self.client: Any = None
        self.sent = 0
        self._sending = threading.local()

    def _send(self) -> None:
        if self.client is None or getattr(self._sending, "now", False):
            return
        self._sending.now = True
        try:
            with contextlib.suppress(spanwire.CircuitOpen):
                self.client.get(URL + "/200")
            self.sent += 1
        finally:
            self._sending.now = False

    def opened(self, call: Any) -> None:
        self._send()

    def closed(self, call: Any) -> None:
        self._send()

    def attempt(self, call: Any, attempt: Any, request: Any) -> Callable[[], None]:
        self._send()
        return self._send

    def wait(self, call: Any, kind: str, seconds: float | None) -> Callable[[], None]:
        self._send()
        return self._send

    def decided(self, call: Any, decision: Any) -> None:
        self._send()


STORMY = Policy(
    retry=Retry(max_attempts=2, backoff=Fixed(seconds=0)),
    circuit_breaker=CircuitBreaker(consecutive_failures=2, break_duration=0.001, success_threshold=1),
)


def storm(client: spanwire.Client, threads: int = 8) -> None:
    """Calls that open the breaker, are refused, probe and close it, in many threads at once."""

    def one() -> None:
        for number in range(20):
            with contextlib.suppress(spanwire.CircuitOpen):
                client.get(URL + ("/503" if number % 3 else "/200"))
            if number == 10:
                client.reload(STORMY)

    started = [threading.Thread(target=one) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def test_pitfall_34_a_listener_may_send_by_the_client_that_it_listens_to(telemetry: SpanwireTelemetry) -> None:
    sends = Sends()
    with spanwire.Client(
        policy=STORMY, transport=Tally().transport, listeners=[sends], **telemetry.providers
    ) as client:
        sends.client = client
        storm(client)
        client.circuit_breakers[URL].force_open()
        client.circuit_breakers[URL].reset()
    assert sends.sent > 500
    assert telemetry.events("circuit_breaker.transition")


def test_pitfall_34_a_logging_handler_may_send_by_the_client_that_logs() -> None:
    class Posts(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not getattr(busy, "now", False):
                busy.now = True
                with contextlib.suppress(spanwire.CircuitOpen):
                    client.post(URL + "/503", content=record.getMessage().encode())
                posted.append(record.getMessage())
                busy.now = False

    posted: list[str] = []
    busy, handler, logger, before = threading.local(), Posts(), logging.getLogger("spanwire"), list(EVERYWHERE)
    logger.addHandler(handler)
    level = logger.level
    try:
        log_decisions("debug")
        logger.setLevel(logging.DEBUG)
        with spanwire.Client(policy=STORMY, transport=Tally().transport) as client:
            storm(client)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        EVERYWHERE[:] = before
    assert any("circuit_breaker.transition" in line for line in posted)


def test_pitfall_34_an_exporter_may_send_by_the_client_that_it_exports() -> None:
    """Simply, at each record, and in the thread that told it; what it sends is not told, or it would never end."""

    class Posts(LogRecordExporter):
        def export(self, batch: Any) -> LogRecordExportResult:
            exported.extend(item.log_record.event_name for item in batch)
            with contextlib.suppress(spanwire.CircuitOpen):
                client.post(URL + "/503", content=b"")
            return LogRecordExportResult.SUCCESS

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

        def shutdown(self) -> None: ...

    exported: list[str] = []
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(Posts()))
    with spanwire.Client(policy=STORMY, transport=Tally().transport, logger_provider=loggers) as client:
        storm(client, threads=4)
    assert "spanwire.circuit_breaker.transition" in exported


@pytest.mark.parametrize("ending", ["/200", "/503", "/raises", "cancelled"])
def test_pitfall_35_nothing_ambient_is_left_by_a_call(
    colour: Colour, telemetry: SpanwireTelemetry, ending: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/raises":
            raise httpx.ReadError("broken", request=request)
        return httpx.Response(int(request.url.path.strip("/")))

    def ambient() -> dict[Any, Any]:
        return {variable: value for variable, value in contextvars.copy_context().items() if value}

    async def cancelled() -> tuple[Any, Any]:
        before = ambient()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.get(URL + "/200")
        return before, ambient()

    async def awaited() -> tuple[Any, Any]:
        before = ambient()
        with contextlib.suppress(httpx.ReadError):
            await client.get(URL + ending)
        return before, ambient()

    def called() -> tuple[Any, Any]:
        before = ambient()
        with contextlib.suppress(httpx.ReadError):
            client.get(URL + ending)
        return before, ambient()

    policy = Policy(retry=Retry(backoff=Fixed(seconds=0)))
    client = colour.client(policy=policy, transport=httpx.MockTransport(answer), **telemetry.providers)
    if ending == "cancelled":
        before, after = colour.run(cancelled()) if colour.is_async else ({}, {})
    else:
        before, after = colour.run(awaited()) if colour.is_async else called()
    assert {str(key) for key in after} == {str(key) for key in before}
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert not otel.get_current()


def test_pitfall_35_tasks_that_take_turns_do_not_see_each_others_calls(telemetry: SpanwireTelemetry) -> None:
    class Looks:
        """Sees whose span is current, before the request and after the answer, with other tasks in between."""

        async def on_request(self, request: httpx.Request, context: spanwire.Context) -> None:
            seen.setdefault(request.url.path, []).append(trace.get_current_span().get_span_context().span_id)
            await anyio.sleep(0)

        async def on_response(self, response: httpx.Response, context: spanwire.Context) -> None:
            await anyio.sleep(0)
            path = context.request.url.path
            seen[path].append(trace.get_current_span().get_span_context().span_id)

    async def slow(request: httpx.Request) -> httpx.Response:
        await anyio.sleep(0)
        return httpx.Response(200)

    async def main() -> None:
        arguments = {"transport": httpx.MockTransport(slow), "interceptors": [Looks()]}
        client = spanwire.AsyncClient(**arguments, **telemetry.providers)
        async with client, anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(client.get, f"{URL}/{number}")

    seen: dict[str, list[int]] = {}
    anyio.run(main)
    assert all(before == after for before, after in seen.values())
    assert len({before for before, _ in seen.values()}) == 20


# -- memory ------------------------------------------------------------------------------------------------------------


def everything_different(number: int) -> dict[str, Any]:
    """A request like no other: method, origin, path, route, override."""
    parts = {"timeout": Timeout(total=100 + number)} if number % 10 == 0 else {}
    return {
        "method": f"FROB{number}" if number % 7 == 0 else "GET",
        "url": f"http://host{number}.test/path{number}?q={number}",
        "extensions": spanwire.override(route=f"/route/{number}", **parts),
        "headers": {f"X-{number}": str(number)},
    }


@pytest.mark.timeout(90)
def test_pitfall_36_nothing_grows_with_the_number_of_different_requests(
    telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    """Measured where the maps that are emptied when they are full, at 1024, stand as they stood before."""

    def answer(request: httpx.Request) -> httpx.Response:
        clock.advance(1)
        number = int(request.url.host.removeprefix("host").removesuffix(".test"))
        if number % 11 == 0:
            raise type(f"Error{number}", (httpx.ReadError,), {})("unheard of", request=request)
        return httpx.Response(200 + number % 700)

    def send(numbers: range) -> int:
        for number in numbers:
            with contextlib.suppress(httpx.ReadError, spanwire.CircuitOpen):
                client.request(**everything_different(number))
        telemetry.clear()
        gc.collect()
        return sys.getallocatedblocks()

    policy = Policy(
        retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1, break_duration=1, max_breakers=64)
    )
    with spanwire.Client(
        policy=policy, transport=httpx.MockTransport(answer), clock=clock, **telemetry.providers
    ) as client:
        send(range(2_048))
        before = send(range(2_048, 4_096))
        after = send(range(4_096, 6_144))
        assert len(client.circuit_breakers) <= 64
        assert len(telemetry.points("spanwire.circuit_breaker.calls")) <= 33
        assert len(telemetry.points("http.client.request.duration")) <= 2_001, "the SDK's own limit"
    assert after - before < 500, "far less than one block of memory for each request"


def test_pitfall_36_a_call_keeps_a_bounded_number_of_decisions(clock: FakeClock) -> None:
    policy = Policy(retry=Retry(max_attempts=1_000, backoff=Fixed(seconds=0), budget=None), circuit_breaker=None)
    with spanwire.Client(policy=policy, transport=Tally().transport, clock=clock) as client:
        report = spanwire.report(client.get(URL + "/503"))
        assert len(report.decisions) == 128
        (dropped,) = client.metrics()["counters"]["spanwire.telemetry.dropped"]
        assert (dropped["spanwire.telemetry.kind"], dropped["value"]) == ("decision", 1_000 - 128)


# -- the measuring itself ----------------------------------------------------------------------------------------------


def test_pitfall_38_the_origin_answers_in_one_write_and_without_delay(origin: FaultyOrigin) -> None:
    """Head and body apart meet Nagle's algorithm and delayed acknowledgements: 40 ms for each request."""
    with spanwire.Client() as client:
        durations = [client.get(origin.url).elapsed.total_seconds() for _ in range(20)]
    assert min(durations[1:]) < 0.02
