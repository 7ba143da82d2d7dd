"""The vocabulary by itself: every declared decision and metric obeys OpenTelemetry's rules of naming, and ours."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, ClassVar

import pytest

import spanwire
from spanwire.decisions import (
    DECISIONS,
    METRICS,
    SECONDS,
    Attribute,
    Count,
    Decision,
    Metric,
    Record,
    Severity,
    counter,
    described,
    histogram,
    labels_of,
    reason,
    updown,
)
from spanwire.metrics import CALL_ACTIVE, POLICY_INFO, POLICY_LIMIT, POOL_CONNECTIONS
from spanwire.policies import CHAIN
from spanwire.spans import SPANS
from tests.integration.counting import declared_here

OURS = re.compile(r"spanwire(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+")
"""Lower case, dots between namespaces, underscores within a word."""
CONVENTIONS = {
    "error.type",
    "http.client.request.duration",
    "http.connection.state",
    "http.request.method",
    "http.request.method_original",
    "http.request.resend_count",
    "http.response.status_code",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "server.address",
    "server.port",
    "url.full",
    "url.template",
}
"""What OpenTelemetry's conventions have a name for."""
UNITS = re.compile(r"1|s|By|\{[a-z]+\}")
"""UCUM, as far as we need it: a number, seconds, bytes, and things in braces, in the singular."""
EVENTS = """
    retry.scheduled retry.denied retry.exhausted
    circuit_breaker.transition circuit_breaker.rejected circuit_breaker.probe
    deadline.exceeded fallback.applied config.loaded config.rejected
"""
TOLD = """
    call.duration call.attempts call.active call.phase.time attempts deadline.used
    pool.connections pool.wait.duration connect.duration
    retry.attempts retry.denials retry.delay retry_budget.available retry_budget.capacity
    circuit_breaker.status circuit_breaker.state.time circuit_breaker.transitions circuit_breaker.rejections
    circuit_breaker.failures circuit_breaker.calls
    fallback.uses policy.info policy.limit telemetry.dropped
"""


def attributes() -> Iterator[Attribute]:
    """Every attribute of the vocabulary, as often as it is used."""
    for decision in DECISIONS.values():
        yield from described(decision).values()
    for metric in METRICS.values():
        yield from metric.attributes
    for span in SPANS:
        yield from (placed.attribute for placed in span.attributes)


def by_name(things: Any) -> Any:
    return pytest.mark.parametrize("thing", [pytest.param(thing, id=name) for name, thing in sorted(things.items())])


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*DECISIONS, *METRICS, *{attribute.key for attribute in attributes()}])
def test_names_are_ours_or_of_the_conventions(name: str) -> None:
    assert OURS.fullmatch(name) or name in CONVENTIONS


@pytest.mark.parametrize("names", [DECISIONS, METRICS, {attribute.key for attribute in attributes()}])
def test_no_name_is_also_a_namespace(names: Any) -> None:
    assert not [(name, other) for name in names for other in names if other.startswith(f"{name}.")]


@pytest.mark.parametrize("name", EVENTS.split())
def test_the_events_that_were_agreed_on_are_declared(name: str) -> None:
    assert f"spanwire.{name}" in DECISIONS


@pytest.mark.parametrize("name", TOLD.split())
def test_the_metrics_that_were_agreed_on_are_declared(name: str) -> None:
    assert f"spanwire.{name}" in METRICS


def test_the_metric_of_the_http_conventions_is_theirs_in_all() -> None:
    """https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration"""
    metric = METRICS["http.client.request.duration"]
    assert (metric.kind, metric.unit, metric.stability) == ("histogram", "s", "stable")
    assert metric.buckets == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert [attribute.key for attribute in metric.attributes] == [
        "http.request.method",
        "server.address",
        "server.port",
        "http.response.status_code",
        "error.type",
        "network.protocol.version",
        "url.template",
    ]


@by_name(DECISIONS)
def test_a_decision_is_named_after_its_policy_and_what_it_did(thing: type[Decision]) -> None:
    assert len(thing.NAME.split(".")) == 3
    assert DECISIONS[thing.NAME] is thing


# -- metrics -----------------------------------------------------------------------------------------------------------


@by_name(METRICS)
def test_a_metric_has_a_unit_of_ucum_and_no_unit_or_kind_in_its_name(thing: Metric) -> None:
    assert UNITS.fullmatch(thing.unit)
    words = set(re.split(r"[._]", thing.name))
    assert words.isdisjoint({"total", "count", "counter", "seconds", "ms", "bytes", "ratio", "gauge", "histogram"})


@by_name({name: metric for name, metric in METRICS.items() if metric.kind == "counter"})
def test_a_counter_of_things_is_named_in_the_plural_and_one_of_seconds_is_a_time(thing: Metric) -> None:
    if thing.unit == "s":
        assert thing.name.endswith(".time")
    else:
        assert thing.unit.startswith("{")
        assert thing.name.endswith(("s", ".used", ".dropped"))


@by_name({name: metric for name, metric in METRICS.items() if metric.kind == "histogram"})
def test_a_histogram_measures_seconds_in_buckets_that_grow(thing: Metric) -> None:
    assert thing.unit == "s"
    assert thing.name.endswith((".duration", ".delay"))
    assert list(thing.buckets) == sorted(set(thing.buckets))
    assert thing.buckets[: len(SECONDS)] == SECONDS


@by_name(METRICS)
def test_a_metric_has_few_attributes_and_all_are_bounded(thing: Metric) -> None:
    ours = [attribute for attribute in thing.attributes if attribute.key.startswith("spanwire.")]
    assert len(ours) <= 4
    assert all(attribute.values or attribute.limit for attribute in thing.attributes)
    assert len({attribute.key for attribute in thing.attributes}) == len(thing.attributes)


@by_name(METRICS)
def test_somebody_moves_each_metric(thing: Metric) -> None:
    """A counter is counted by a decision or held by whoever counts; a level is observed; a histogram is recorded."""
    if thing.kind == "updown":
        engines = {CALL_ACTIVE, POOL_CONNECTIONS, POLICY_INFO, POLICY_LIMIT}
        assert thing in engines | {metric for step in CHAIN for metric in step.layer.OBSERVES}
        return
    moves = [move for decision in DECISIONS.values() for move in decision.MOVES if move.metric is thing]
    kinds = {"counter": Count, "histogram": Record}
    assert all(isinstance(move, kinds[thing.kind]) for move in moves)


# -- decisions ---------------------------------------------------------------------------------------------------------


@by_name(DECISIONS)
def test_a_decision_is_frozen_and_says_in_a_sentence_what_it_is(thing: type[Decision]) -> None:
    assert is_dataclass(thing)
    assert thing.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert (thing.__doc__ or "").strip().endswith(".")
    assert not (thing.__doc__ or "").startswith(f"{thing.__name__}(")
    assert isinstance(thing.SEVERITY, Severity)


@by_name(DECISIONS)
def test_every_field_of_a_decision_is_described_and_typed(thing: type[Decision]) -> None:
    hints = typing.get_type_hints(thing)
    assert set(described(thing)) == {field.name for field in fields(thing)}
    for name in described(thing):
        assert _kinds(hints[name]) <= {str, bool, int, float, tuple[str, ...]}


@by_name(DECISIONS)
def test_the_keys_of_a_decision_are_different_ones(thing: type[Decision]) -> None:
    keys = [attribute.key for attribute in described(thing).values()]
    assert len(set(keys)) == len(keys)


@by_name(DECISIONS)
def test_a_decision_gives_every_metric_that_it_moves_its_labels_and_its_value(thing: type[Decision]) -> None:
    for move in thing.MOVES:
        assert len(labels_of(thing, move.metric)) == len(move.metric.attributes)
        amount = move.value if isinstance(move, Record) else move.by
        assert not amount or amount in {field.name for field in fields(thing)}


@by_name({name: decision for name, decision in DECISIONS.items() if "reason" in described(decision)})
def test_a_reason_is_of_a_closed_set_of_single_words(thing: type[Decision]) -> None:
    found = described(thing)["reason"]
    assert found.key == "spanwire.reason"
    assert len(found.values) >= 1


# -- attributes --------------------------------------------------------------------------------------------------------


@by_name({f"{attribute.key} {attribute.brief}": attribute for attribute in attributes()})
def test_an_attribute_says_in_a_sentence_what_it_is(thing: Attribute) -> None:
    assert thing.brief.endswith(".")
    assert not thing.unit or UNITS.fullmatch(thing.unit)
    assert len(set(thing.values)) == len(thing.values)
    assert all(value and value == value.strip() for value in thing.values)
    assert (thing.stability == "stable") <= (thing.key in CONVENTIONS)


def test_a_key_means_the_same_wherever_it_stands() -> None:
    """But for `spanwire.reason`, whose set is each decision's own."""
    meanings: dict[str, set[str]] = {}
    for attribute in attributes():
        meanings.setdefault(attribute.key, set()).add(attribute.brief)
    several = {key for key, briefs in meanings.items() if len(briefs) > 1}
    assert several <= {"spanwire.reason", "spanwire.attempts"}


# -- evidence ----------------------------------------------------------------------------------------------------------


@by_name(DECISIONS)
def test_evidence_has_the_declared_types_and_leaves_out_what_is_not_known(thing: type[Decision]) -> None:
    hints = typing.get_type_hints(thing)
    values = {field.name: _sample(hints[field.name], described(thing)[field.name]) for field in fields(thing)}
    evidence = thing(**values).evidence()
    assert set(evidence) == {attribute.key for attribute in described(thing).values()}
    assert all(type(value) in (str, bool, int, float, tuple) for value in evidence.values())
    optional = {name: None for name in values if type(None) in typing.get_args(hints[name])}
    known = thing(**{**values, **optional}).evidence()
    assert set(evidence) - set(known) == {described(thing)[name].key for name in optional}


def _kinds(hint: Any) -> set[type]:
    """The types of a hint, without None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return {kind for inner in typing.get_args(hint) for kind in _kinds(inner)} - {type(None)}
    return {hint}


def _sample(hint: Any, attribute: Attribute) -> Any:
    kind = next(iter(_kinds(hint)))
    if kind == tuple[str, ...]:
        return ("a", "b")
    return attribute.values[0] if attribute.values and kind is str else kind(1)


# -- declaring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declare", [counter, updown])
def test_a_metric_cannot_be_declared_twice(declare: Any) -> None:
    with declared_here():
        declare("test.things", "{thing}", "Things.")
        with pytest.raises(ValueError, match=r"the metric test\.things is declared twice"):
            histogram("test.things", "Things.")


def test_a_decision_cannot_be_declared_twice_not_even_under_the_same_class_name_elsewhere() -> None:
    with declared_here():

        @dataclass(frozen=True, slots=True)
        class Applied(Decision):
            """Something was done."""

            NAME: ClassVar[str] = "test.thing.done"

        with pytest.raises(ValueError, match=r"the decision test\.thing\.done is declared twice"):
            type("Undone", (Decision,), {"NAME": "test.thing.done"})
        with pytest.raises(ValueError, match="is declared twice"):
            type("Applied", (Decision,), {"NAME": "test.thing.done", "__module__": "spanwire.policies.other.decisions"})


def test_a_decision_that_moves_a_metric_it_has_no_labels_for_is_a_mistake_that_names_them() -> None:
    with declared_here():
        where = Attribute("test.where", "Where.", limit=3)
        things = counter("test.things", "{thing}", "Things.", where)

        @dataclass(frozen=True, slots=True)
        class Found(Decision):
            """Something was found."""

            NAME: ClassVar[str] = "test.thing.found"
            MOVES: ClassVar[tuple[Count, ...]] = (Count(things),)

            colour: Annotated[str, reason("red")]

        with pytest.raises(TypeError, match=r"Found moves test\.things but has no field for test\.where"):
            labels_of(Found, things)


def test_a_decision_without_a_name_is_a_base_of_others_and_not_part_of_the_vocabulary() -> None:
    with declared_here():

        @dataclass(frozen=True, slots=True)
        class Evidence(Decision):
            """What several rest on."""

            share: Annotated[float, Attribute("test.share", "The share.")]

        assert Evidence not in DECISIONS.values()
        assert Evidence(0.5).evidence() == {"test.share": 0.5}
        assert Evidence(0.5).enforced is True


def test_users_can_declare_decisions_of_their_own() -> None:
    assert {"Attribute", "Decision", "Severity"} <= set(spanwire.__all__)
