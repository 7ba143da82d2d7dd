"""spanwire's fixtures, as a pytest plugin.

A module of its own beside the package: pytest loads it in every run, before any conftest.py, and to import
`spanwire.anything` would be to import all of spanwire, httpx with it. So runs that use no fixture pay nothing, and a
conftest.py may still say what `httpx` is to mean (`httpx2.alias_httpx()`). Nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from spanwire.testing import FakeClock, FaultyOrigin, Recorder, SpanwireTelemetry, VirtualTime


@pytest.fixture
def spanwire_clock() -> FakeClock:
    """A clock that stands still until it is told to go on, for `Client(clock=...)`."""
    from spanwire.testing import FakeClock

    return FakeClock()


@pytest.fixture
def spanwire_recorder() -> Recorder:
    """A log of attempts, waits and decisions, for `Client(listeners=[...])`."""
    from spanwire.testing import Recorder

    return Recorder()


@pytest.fixture
def spanwire_origin() -> Iterator[FaultyOrigin]:
    """A real origin on this machine that answers as it is told, well or badly."""
    from spanwire.testing import FaultyOrigin

    with FaultyOrigin() as origin:
        yield origin


@pytest.fixture
def spanwire_telemetry() -> Iterator[SpanwireTelemetry]:
    """OpenTelemetry's SDK in memory, for `Client(**spanwire_telemetry.providers)`; skipped without the SDK."""
    with _needing_an_extra("SpanwireTelemetry") as telemetry:
        yield telemetry


@pytest.fixture
def spanwire_virtual_time() -> VirtualTime:
    """Runs async code on trio in virtual time; skipped without trio."""
    made: VirtualTime = _needing_an_extra("VirtualTime")
    return made


def _needing_an_extra(name: str) -> Any:
    """Make it; where its extra is not installed, the test is skipped and says what to install."""
    from spanwire import ConfigurationError, testing

    try:
        return getattr(testing, name)()
    except ConfigurationError as error:
        pytest.skip(str(error))
