"""`telemetry.setup()`: the global providers of a process, once, and their end."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.parser import text_string_to_metric_families

import spanwire
from spanwire.telemetry import _sdk, setup
from spanwire.testing import FaultyOrigin
from tests.cli.conftest import python
from tests.cli.servers import Receiver, free_port

Install = Callable[..., Callable[[], None]]


class Globals:
    """Stands in for OpenTelemetry's global providers, which can be set but once in a process."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self.meter: Any = None
        self.logger: Any = None

    def existing(self) -> list[Any]:
        return [provider for provider in (self.tracer, self.meter, self.logger) if provider is not None]

    @property
    def all(self) -> dict[str, Any]:
        return {"tracer_provider": self.tracer, "meter_provider": self.meter, "logger_provider": self.logger}


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Globals:
    made = Globals()
    monkeypatch.setattr(_sdk, "_existing", made.existing)
    monkeypatch.setattr(_sdk.trace, "set_tracer_provider", lambda it: setattr(made, "tracer", it))
    monkeypatch.setattr(_sdk.metrics, "set_meter_provider", lambda it: setattr(made, "meter", it))
    monkeypatch.setattr(_sdk._logs, "set_logger_provider", lambda it: setattr(made, "logger", it))
    return made


@pytest.fixture
def install(providers: Globals) -> Iterator[Install]:
    """`setup`, ended at the end of the test."""
    finishers: list[Callable[[], None]] = []

    def run(*arguments: Any, **more: Any) -> Callable[[], None]:
        finishers.append(setup(*arguments, **more))
        return finishers[-1]

    yield run
    for finish in finishers:
        finish()


def test_three_providers_share_one_resource(
    providers: Globals, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    install("billing")
    assert isinstance(providers.tracer, TracerProvider)
    assert isinstance(providers.meter, MeterProvider)
    assert isinstance(providers.logger, LoggerProvider)
    attributes = providers.tracer.resource.attributes
    assert (attributes["service.name"], attributes["deployment.environment.name"]) == ("billing", "test")
    assert providers.logger.resource.attributes == attributes


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "spanwire"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=ours"}, "ours"),
    ],
)
def test_the_service_is_named_by_the_environment_or_after_us(
    providers: Globals, install: Install, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    install()
    assert providers.tracer.resource.attributes["service.name"] == name


def test_an_endpoint_takes_all_three_signals_and_the_end_flushes(
    providers: Globals, install: Install, origin: FaultyOrigin, receiver: Receiver
) -> None:
    finish = install(endpoint=f"{receiver.url}/")
    origin.script(500)
    policy = spanwire.Policy(retry=None, circuit_breaker=spanwire.CircuitBreaker(consecutive_failures=1))
    with spanwire.Client(policy=policy, **providers.all) as client:
        client.get(origin.url)
    finish()
    assert len(receiver.spans) == 2
    assert "spanwire.circuit_breaker.transitions" in receiver.metrics
    assert "spanwire.circuit_breaker.transition" in receiver.events


def test_metrics_are_served_for_prometheus_until_the_end(
    providers: Globals, install: Install, origin: FaultyOrigin
) -> None:
    port = free_port()
    finish = install(prometheus_port=port)
    with spanwire.Client(name="billing", **providers.all) as client:
        client.get(origin.url)
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
        with page:
            families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    calls = [s.value for s in families["spanwire_call_attempts"].samples if s.labels["spanwire_outcome"] == "success"]
    assert sum(calls) == 1
    finish()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_taken_port_is_named_and_nothing_is_set(providers: Globals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            spanwire.ConfigurationError, match=rf"port {port} of 127\.0\.0\.1 is taken: .* another port"
        ):
            setup(prometheus_port=port)
    with pytest.raises(spanwire.ConfigurationError, match=r"port 99999 of 127\.0\.0\.1 cannot be opened"):
        setup(prometheus_port=99999)
    assert not providers.existing()


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "'smoke' is impossible"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "u:secret@x:4318"}, "`OTEL_EXPORTER_OTLP_ENDPOINT` .* with its scheme"),
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "`OTEL_TRACES_EXPORTER` = 'pigeon'"),
        ({"OTEL_LOGS_EXPORTER": "otlp_by_pigeon"}, r"install spanwire\[otlp\]"),
    ],
)
def test_an_impossible_variable_is_named_and_nothing_is_set(
    providers: Globals, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(spanwire.ConfigurationError, match=names) as caught:
        setup()
    assert not providers.existing()
    assert "secret" not in str(caught.value)


def test_an_impossible_endpoint_is_named(providers: Globals) -> None:
    with pytest.raises(spanwire.ConfigurationError, match=r"`endpoint` = 'localhost:4318' .* with its scheme"):
        setup(endpoint="localhost:4318")


def test_other_exporters_are_found_by_their_names() -> None:
    code = (
        "import spanwire.telemetry as t; from opentelemetry import trace; finish = t.setup()\n"
        "trace.get_tracer('t').start_span('shown').end(); finish()"
    )
    told = python("-c", code, OTEL_TRACES_EXPORTER="console, none")
    assert told.code == 0
    assert '"name": "shown"' in told.out


def test_a_disabled_sdk_sets_nothing(providers: Globals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    setup(prometheus_port=free_port(), endpoint="http://127.0.0.1:9")()
    assert not providers.existing()


def test_what_the_service_has_set_up_is_used_and_flushed_but_not_ended(providers: Globals) -> None:
    class Mine:
        flushed = 0

        def force_flush(self) -> None:
            self.flushed += 1

    mine = providers.tracer = Mine()
    finish = setup()
    finish()
    finish()
    assert mine.flushed == 1
    for asked in ({"prometheus_port": 9464}, {"endpoint": "http://127.0.0.1:4318"}):
        with pytest.raises(spanwire.ConfigurationError, match=f"`{next(iter(asked))}` cannot be had.*Mine"):
            setup(**asked)  # type: ignore[arg-type]


def test_the_end_does_not_wait_for_what_hangs(
    providers: Globals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_sdk, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finish = setup(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        providers.tracer.get_tracer("t").start_span("lost").end()
        begun = time.monotonic()
        finish()
        assert time.monotonic() - begun < 2
    assert "not all telemetry was delivered within 0.2 s" in caplog.text


def test_what_ends_badly_is_logged_and_not_raised(providers: Globals, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def force_flush(self) -> None:
            raise RuntimeError("no more")

    providers.tracer = Broken()
    setup()()
    assert "telemetry ended badly: no more" in caplog.text


def test_real_providers_are_set_once_and_flushed_by_the_end_of_the_process(receiver: Receiver) -> None:
    told = python(
        "-c",
        "import spanwire.telemetry as t; from opentelemetry import trace\n"
        f"t.setup('script', endpoint={receiver.url!r})\n"
        "trace.get_tracer('t').start_span('forgotten').end()\n"
        "t.setup()()\n"
        "try: t.setup(prometheus_port=9464)\n"
        "except ValueError as error: print(error)\n",
    )
    assert (told.code, told.err) == (0, "")
    assert "already (TracerProvider, MeterProvider, LoggerProvider)" in told.out
    assert [span.name for span in receiver.spans] == ["forgotten"]
