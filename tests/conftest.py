"""The fixtures of the project's own tests: one way to write a story for sync, asyncio and trio, and a watchdog."""

from __future__ import annotations

import faulthandler
import gc
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

if os.environ.get("SPANWIRE_TEST_HTTPX2"):  # before anything imports httpx: here, and in the processes of the tests
    import httpx2

    httpx2.alias_httpx()
    paths = [str(Path(__file__).with_name("aliased")), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

from spanwire.testing import FakeClock, FaultyOrigin, Recorder, SpanwireTelemetry
from tests.testing.colours import COLOURS, Colour

if not importlib.metadata.entry_points(group="pytest11", name="spanwire"):  # it is not installed: on PYTHONPATH only
    pytest_plugins = ["_spanwire_pytest"]

LONGEST = 30.0
"""Seconds that a test may take, its fixtures included; `@pytest.mark.timeout(seconds)` asks for more."""

KEPT = ("SPANWIRE_REQUIRE_COMPONENTS", "SPANWIRE_TEST_HTTPX2")
for name in [*os.environ]:  # what the developer's machine has set up is not under test
    if (name.startswith(("OTEL_", "SPANWIRE_")) or name.lower().endswith("_proxy")) and name not in KEPT:
        del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout(seconds): how long the test may take, instead of 30 s")


def pytest_collection_finish() -> None:
    """What is there by now stays: no collection looks through it again, which took some tests most of their time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that hangs fails, wherever it hangs, and the others go on."""
    marker = item.get_closest_marker("timeout")
    seconds = float(marker.args[0]) if marker else LONGEST

    def bark(*_: object) -> None:
        faulthandler.dump_traceback(sys.__stderr__)
        pytest.fail(f"the test took longer than {seconds:g} s; the stacks of all threads are above", pytrace=True)

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", autouse=True)
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients that are told nothing else trust one authority: to load all of certifi's takes each of them 50 ms."""
    end = "-----END CERTIFICATE-----"
    first = Path(certifi.where()).read_text(encoding="ascii").partition(end)[0] + end
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    file.write_text(first[first.index("-----BEGIN") :], encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """The sync client and the async one on asyncio and on trio, in the same words: the test runs in all three."""
    with COLOURS[request.param]() as colour:
        yield colour


# -- the plugin's fixtures, by shorter names -------------------------------------------------------------------------


@pytest.fixture
def origin(spanwire_origin: FaultyOrigin) -> FaultyOrigin:
    return spanwire_origin


@pytest.fixture
def telemetry(spanwire_telemetry: SpanwireTelemetry) -> SpanwireTelemetry:
    return spanwire_telemetry


@pytest.fixture
def recorder(spanwire_recorder: Recorder) -> Recorder:
    return spanwire_recorder


@pytest.fixture
def clock(spanwire_clock: FakeClock) -> FakeClock:
    return spanwire_clock
