"""The house rule: a further policy is a folder and a line in the registry, and everything else follows of itself.

The policy of this file keeps a distance between calls to the same door. It stands here as its folder would: settings,
core, decisions, layer. What a contributor would write into `spanwire/policies/__init__.py`, the field and the step, is
`Ours` and `registered`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import httpx
import pydantic
import pytest

import spanwire
from spanwire import Attribute, Decision, Fixed, Layer, Policy, Retry, Severity
from spanwire.config import Part
from spanwire.decisions import DECISIONS, METRICS, Count, Metric, Record, counter, histogram, reason, updown
from spanwire.ledger import Observation
from spanwire.policies import CHAIN, Step
from spanwire.testing import FakeClock, Recorder, SpanwireTelemetry
from tests.integration.counting import Tally, declared_here
from tests.testing.colours import Colour

URL = "http://origin.test"

# -- config.py ---------------------------------------------------------------------------------------------------------


class Courtesy(Part):
    """Keeps a distance between calls to the same door."""

    distance: Annotated[float, pydantic.Field(gt=0)] = 2.0


# -- core.py -----------------------------------------------------------------------------------------------------------


class Doors:
    """When each door was last knocked at. Pure, but for the lock."""

    def __init__(self, distance: float) -> None:
        self.distance = distance
        self.last: dict[str, float] = {}
        self._lock = threading.Lock()

    def knock(self, door: str, now: float) -> float:
        """The seconds to wait before this door may be knocked at; the place in the queue is taken."""
        with self._lock:
            at = max(now, self.last.get(door, now - self.distance) + self.distance)
            self.last[door] = at
        return at - now

    def __repr__(self) -> str:
        return f"<Doors {len(self.last)}>"


# -- decisions.py ------------------------------------------------------------------------------------------------------

with declared_here():  # and nowhere else: the stories of other files know nothing of it
    DOOR = Attribute("spanwire.courtesy.door", "The door.", limit=4)
    WHY = reason("occupied", "hasty", brief="Why it was waited.")
    DELAY = Attribute("spanwire.courtesy.delay", "How long.", unit="s")
    WAITS = counter("spanwire.courtesy.waits", "{wait}", "Waits at doors.", DOOR, WHY)
    WAIT_DURATION = histogram("spanwire.courtesy.wait.duration", "How long the waits were.", DOOR)
    DOORS = updown("spanwire.courtesy.doors", "{door}", "Doors that were knocked at.")

    @dataclass(frozen=True, slots=True)
    class Waited(Decision):
        """A call waited before a door."""

        NAME: ClassVar[str] = "spanwire.courtesy.waited"
        SEVERITY: ClassVar[Severity] = Severity.WARN
        NOTABLE: ClassVar[bool] = True
        MOVES: ClassVar[tuple[Count | Record, ...]] = (Count(WAITS), Record(WAIT_DURATION, "seconds"))

        door: Annotated[str, DOOR]
        reason: Annotated[str, WHY]
        seconds: Annotated[float, DELAY]


# -- policy.py ---------------------------------------------------------------------------------------------------------


class Courteous(Layer[Courtesy]):
    """Waits until the door is free."""

    OBSERVES: ClassVar[tuple[Metric, ...]] = (DOORS,)

    def __init__(self, config: Courtesy, kit: spanwire.Kit, previous: Courteous | None = None) -> None:
        super().__init__(config, kit, previous)
        same = previous is not None and previous.config == config
        self.core = previous.core if same else Doors(config.distance)
        kit.signals.account.cell(WAITS, "front", "hasty")

    async def __call__(self, request: httpx.Request, call: spanwire.Next, io: spanwire.Runtime) -> httpx.Response:
        door, this = request.headers.get("X-Door", "front"), spanwire.Call.of(request)
        seconds = self.core.knock(door, self.kit.clock())
        if seconds > 0:
            self.kit.signals.emit(Waited(door, "hasty", seconds), this)
            with self.kit.signals.wait(this, "rate_limit", seconds):
                await io.sleep(seconds)
        return await call(request)

    def observe(self) -> Iterable[Observation]:
        yield Observation(DOORS, len(self.core.last))

    def handle(self) -> Any:
        return self.core


# -- policies/__init__.py ----------------------------------------------------------------------------------------------


class Ours(Policy):
    """`Policy` with one field more."""

    courtesy: Courtesy | None = None


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`CHAIN` with one step more, before the retry."""
    place = [step.field for step in CHAIN].index("retry")
    chain = (*CHAIN[:place], Step("courtesy", Courteous), *CHAIN[place:])
    for module in ("policies", "pipeline"):
        monkeypatch.setattr(f"spanwire.{module}.CHAIN", chain)
    with declared_here():
        METRICS.update({metric.name: metric for metric in (WAITS, WAIT_DURATION, DOORS)})
        DECISIONS[Waited.NAME] = Waited
        yield


POLICY = Ours(courtesy=Courtesy(), retry=Retry(max_attempts=2, backoff=Fixed(seconds=0)), circuit_breaker=None)


@pytest.fixture
def client(registered: None, colour: Colour, clock: FakeClock, telemetry: SpanwireTelemetry, recorder: Recorder) -> Any:
    arguments = {"name": "billing", "transport": Tally().transport, "clock": clock, "listeners": [recorder]}
    return colour.client(policy=POLICY, **arguments, **telemetry.providers)


# -- what follows of itself --------------------------------------------------------------------------------------------


def test_it_decides_at_its_place_in_the_chain(client: Any, colour: Colour, recorder: Recorder) -> None:
    colour.get(client, URL)
    colour.get(client, URL + "/503/200")
    assert recorder.log == [
        "attempt 1 200",
        "courtesy.waited hasty 2s",
        "wait rate_limit 2s",
        "attempt 1 503",
        "retry.scheduled status backoff 0s",
        "wait backoff 0s",
        "attempt 2 200",
    ]


def test_its_event_stands_on_the_span_with_its_evidence(
    client: Any, colour: Colour, telemetry: SpanwireTelemetry
) -> None:
    for _ in range(2):
        colour.get(client, URL)
    assert telemetry.events("courtesy.waited") == [
        {"spanwire.courtesy.door": "front", "spanwire.reason": "hasty", "spanwire.courtesy.delay": 2.0}
    ]
    assert telemetry.call_spans[-1].attributes["spanwire.notable"] is True
    assert [span.name for span in telemetry.wait_spans] == ["wait rate_limit"]


def test_its_metrics_are_exported_with_their_units_and_labels(
    client: Any, colour: Colour, telemetry: SpanwireTelemetry
) -> None:
    assert telemetry.metric("spanwire.courtesy.waits") == 0, "zero from the start"
    for _ in range(3):
        colour.get(client, URL)
    assert telemetry.metric("spanwire.courtesy.waits", door="front", reason="hasty") == 2
    assert telemetry.metric("spanwire.courtesy.doors") == 1
    (point,) = telemetry.points("spanwire.courtesy.wait.duration")
    assert (point.count, point.sum) == (2, 4.0)
    assert point.attributes == {"spanwire.client.name": "billing", "spanwire.courtesy.door": "front"}
    assert METRICS["spanwire.courtesy.wait.duration"].unit == "s"


def test_its_labels_are_bounded_wherever_they_are_told(
    client: Any, colour: Colour, telemetry: SpanwireTelemetry
) -> None:
    for number in range(9):
        for _ in range(2):
            colour.get(client, URL, headers={"X-Door": f"door {number}"})
    for name in ("spanwire.courtesy.waits", "spanwire.courtesy.wait.duration"):
        doors = {point.attributes["spanwire.courtesy.door"] for point in telemetry.points(name)}
        assert len(doors - {"_other"}) <= 4
        assert "_other" in doors
    assert telemetry.metric("spanwire.courtesy.waits") == 9
    assert telemetry.metric("spanwire.telemetry.dropped", kind="series") > 0


def test_its_decisions_stand_in_the_report(client: Any, colour: Colour) -> None:
    colour.get(client, URL)
    report = spanwire.report(colour.get(client, URL))
    assert "courtesy waited: hasty" in str(report)
    assert "rate_limit 2000.0 ms" in str(report)
    assert [decision["name"] for decision in report.as_dict()["decisions"]] == ["spanwire.courtesy.waited"]


def test_its_decisions_stand_in_the_log(client: Any, colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    from spanwire.signals import EVERYWHERE
    from spanwire.telemetry import log_decisions

    caplog.set_level(logging.INFO, "spanwire")
    before = list(EVERYWHERE)
    try:
        log_decisions("info")
        for _ in range(2):
            colour.get(client, URL)
    finally:
        EVERYWHERE[:] = before
    (record,) = [record for record in caplog.records if record.name == "spanwire"]
    assert record.getMessage() == "spanwire.courtesy.waited courtesy.door=front reason=hasty courtesy.delay=2.0"


def test_its_counters_stand_in_the_clients_figures(client: Any, colour: Colour) -> None:
    for _ in range(2):
        colour.get(client, URL)
    (row,) = client.metrics()["counters"]["spanwire.courtesy.waits"]
    assert row == {"spanwire.courtesy.door": "front", "spanwire.reason": "hasty", "value": 1}


def test_its_settings_are_checked_hashed_and_told_as_limits(client: Any, telemetry: SpanwireTelemetry) -> None:
    with pytest.raises(spanwire.ConfigurationError, match=r"courtesy\.distance"):
        Ours(courtesy={"distance": 0})
    assert Ours.from_dict({"courtesy": {"distance": 3}}).courtesy == Courtesy(distance=3)
    assert POLICY.hash != POLICY.model_copy(update={"courtesy": Courtesy(distance=3)}).hash
    assert telemetry.metric("spanwire.policy.limit", limit="courtesy.distance") == 2


def test_it_keeps_its_state_over_a_reload_and_is_found_by_its_handle(client: Any, colour: Colour) -> None:
    colour.get(client, URL)
    doors = client._handle(Courteous)
    client.reload(POLICY.model_copy(update={"retry": None}))
    assert client._handle(Courteous) is doors
    client.reload(POLICY.model_copy(update={"courtesy": Courtesy(distance=1)}))
    assert client._handle(Courteous) is not doors
    client.reload(POLICY.model_copy(update={"courtesy": None}))
    assert client._handle(Courteous) is None
    assert colour.get(client, URL).status_code == 200


def test_it_can_tell_something_in_the_background(client: Any, telemetry: SpanwireTelemetry) -> None:
    """Of no call: in the log, since there is no span to stand on."""
    layer = next(layer for layer in client._pipeline_layers().values() if isinstance(layer, Courteous))
    layer.kit.signals.emit(Waited("back", "occupied", 0.5))
    (record,) = telemetry.log_records
    assert (record.event_name, record.severity_number.value) == ("spanwire.courtesy.waited", 13)
    assert record.attributes["spanwire.client.name"] == "billing"
    assert telemetry.metric("spanwire.courtesy.waits", reason="occupied") == 1
