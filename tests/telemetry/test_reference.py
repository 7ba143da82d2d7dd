"""The reference: what is committed is what the declarations say, and what the declarations say is what is told."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

import spanwire
from spanwire import CircuitBreaker, Fallback, Fixed, Policy, Retry, Timeout
from spanwire.decisions import CLIENT, DECISIONS, METRICS, Attribute, described
from spanwire.spans import ATTEMPT, CALL, RELATION, WAIT, SpanShape
from spanwire.telemetry import reference, tables
from spanwire.testing import FakeClock, FaultyOrigin, SpanwireTelemetry

COMMITTED = Path(__file__).parents[2] / "docs" / "telemetry"


def test_the_committed_pages_are_the_generated_ones() -> None:
    command = [sys.executable, "-W", "error", "-m", "spanwire.telemetry.reference", "--check", str(COMMITTED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_written_is_what_is_checked(tmp_path: Path) -> None:
    assert reference.main(["--write", str(tmp_path / "made")]) == 0
    assert reference.main(["--check", str(tmp_path / "made")]) == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(reference.pages())


def test_a_stale_page_and_a_missing_one_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference.main(["--write", str(tmp_path)])
    (tmp_path / "events.md").unlink()
    (tmp_path / "spans.md").write_text("old")
    assert reference.main(["--check", str(tmp_path)]) == 1
    assert "events.md, spans.md" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["events.md", "metrics.md", "attributes.md", "spans.md"])
def test_every_table_has_as_many_cells_in_each_row(page: str) -> None:
    lines = reference.pages()[page].splitlines()
    for above, line in itertools.pairwise(lines):
        if above.startswith("|") and line.startswith("|"):
            assert above.count("|") == line.count("|"), line


# -- what is told is declared -----------------------------------------------------------------------------------------

BREAKER = CircuitBreaker(consecutive_failures=2, break_duration=1, success_threshold=1)
WORST = Policy(
    timeout=Timeout(total=20),
    retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.5)),
    circuit_breaker=BREAKER,
    fallback=Fallback(response={"status": 200}, on_status=[502], on_exception=[httpx.ReadError]),  # type: ignore[arg-type]
)


@pytest.fixture
def told(origin: FaultyOrigin, clock: FakeClock, telemetry: SpanwireTelemetry) -> SpanwireTelemetry:
    """What a client tells to whom nearly everything happens."""
    origin.script(503, 200, path="/retried")
    origin.script(502, path="/replaced")
    origin.script(500, 500, 500, path="/down")
    with spanwire.Client(name="billing", policy=WORST, clock=clock, **telemetry.providers) as client:
        client.get(f"{origin.url}/retried?token=sesame", extensions=spanwire.override(route="/retried"))
        client.post(f"{origin.url}/replaced", content=b"x")
        client.request("PURGE", origin.url)
        client.get(f"{origin.url}/down")
        with pytest.raises(spanwire.CircuitOpen):
            client.get(origin.url)
        clock.advance(2)
        client.get(origin.url)
        client.interceptors.add(lambda request, call, io: clock.advance(30) or call(request))
        with pytest.raises(spanwire.DeadlineExceeded):
            client.get(origin.url)
        client.reload(WORST.model_copy(update={"retry": None}))
    return telemetry


def test_every_attribute_of_a_span_is_declared_for_its_kind(told: SpanwireTelemetry) -> None:
    shapes: tuple[tuple[SpanShape, list[Any]], ...] = (
        (CALL, told.call_spans),
        (ATTEMPT, told.attempt_spans),
        (WAIT, told.wait_spans),
    )
    for shape, spans in shapes:
        declared = {placed.attribute.key: placed.attribute for placed in shape.attributes}
        always = {placed.attribute.key for placed in shape.attributes if not placed.where}
        assert spans
        for span in spans:
            assert always <= set(span.attributes)
            _check(span.attributes, declared)
            for link in span.links:
                _check(link.attributes, {RELATION.key: RELATION})


def test_every_declared_attribute_of_a_span_is_told(told: SpanwireTelemetry) -> None:
    seen = {key for span in told.spans for key in (span.attributes or {})}
    declared = {placed.attribute.key for shape in (CALL, ATTEMPT, WAIT) for placed in shape.attributes}
    of_chance_and_of_what_comes = {"spanwire.baseline", "spanwire.endpoint", "spanwire.pool.wait"}
    assert {"spanwire.endpoint"} <= declared - seen <= of_chance_and_of_what_comes


def test_every_event_has_the_attributes_and_types_of_its_declaration(told: SpanwireTelemetry) -> None:
    found = list(_events(told))
    declared_names = {name for name, kind in DECISIONS.items() if kind.__module__.startswith("spanwire.")}
    assert declared_names - {name for name, _ in found} == {"spanwire.config.rejected"}
    for name, attributes in found:
        kind: Any = DECISIONS[name]
        fields = {field.attribute.key: field for field in tables.fields(kind)}
        declared = {attribute.key: attribute for attribute in described(kind).values()} | {CLIENT.key: CLIENT}
        _check(attributes, declared, typed=False)
        for key, value in attributes.items():
            if key in fields:
                assert _type_of(value) == fields[key].type, (name, key)
        assert {key for key, field in fields.items() if not field.optional} <= set(attributes)


def test_every_point_of_a_metric_has_the_labels_of_its_declaration(told: SpanwireTelemetry) -> None:
    told_metrics = {metric.name: metric for metric in told._metrics()}
    assert set(told_metrics) <= set(METRICS)
    for name, metric in told_metrics.items():
        declared = {attribute.key: attribute for attribute in METRICS[name].attributes}
        assert metric.unit == METRICS[name].unit
        for point in metric.data.data_points:
            labels = dict(point.attributes or {})
            assert labels.pop(CLIENT.key) == "billing"
            _check(labels, declared)


def _events(told: SpanwireTelemetry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for span in told.spans:
        for event in span.events:
            yield event.name, dict(event.attributes or {})
    for record in told.log_records:
        yield record.event_name, dict(record.attributes)


def _check(found: Mapping[str, Any], declared: Mapping[str, Attribute], typed: bool = True) -> None:
    """Nothing undeclared, of the declared type, and of the closed set where there is one."""
    assert set(found) <= set(declared)
    for key, value in found.items():
        attribute = declared[key]
        if attribute.values:
            assert str(value).lower() in map(str.lower, attribute.values), key
        if typed:
            assert _type_of(value) == tables.type_of(attribute), key


def _type_of(value: Any) -> str:
    return "string[]" if isinstance(value, Iterable) and not isinstance(value, str) else tables.OTEL_TYPES[type(value)]
