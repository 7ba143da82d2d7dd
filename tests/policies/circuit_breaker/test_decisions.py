"""What is told has a name, a severity, a metric that fits, and values that telemetry can carry."""

from __future__ import annotations

import pickle
from dataclasses import fields

import pytest

from spanwire.decisions import METRICS, Count, Severity, described, labels_of
from spanwire.policies.circuit_breaker import BreakerProbe, BreakerRejected, BreakerTransition
from spanwire.policies.circuit_breaker.states import FAILURE, Reason, State

from .helpers import call, closed, half_open, opened, ticket

DECISIONS = (BreakerTransition, BreakerRejected, BreakerProbe)


def every_decision():
    breaker, probe = half_open()
    moved, probing = probe.told
    return [
        moved,
        probing,
        ticket(breaker, 10.0).refusal,
        ticket(opened(), 1.0).refusal,
        closed().command(Reason.FORCED, 0.0),
    ]


@pytest.mark.parametrize("decision", every_decision(), ids=lambda decision: decision.NAME)
def test_evidence_is_plain_within_its_closed_sets_and_survives_pickling(decision):
    evidence = decision.evidence()
    assert len(evidence) >= 10
    assert {type(value) for value in evidence.values()} <= {str, bool, int, float}
    for attribute in described(type(decision)).values():
        if attribute.values and attribute.key in evidence:
            assert str(evidence[attribute.key]).lower() in attribute.values
    assert pickle.loads(pickle.dumps(decision)) == decision


@pytest.mark.parametrize("decision", DECISIONS)
def test_every_field_is_described_and_every_metric_finds_its_labels(decision):
    assert set(described(decision)) == {field.name for field in fields(decision)}
    for move in decision.MOVES:
        assert isinstance(move, Count)
        assert len(labels_of(decision, move.metric)) == len(move.metric.attributes)


def test_severity_is_that_of_the_state_entered():
    breaker = closed(consecutive_failures=1, break_duration=1, success_threshold=1)
    moves = [call(breaker, FAILURE, 0.0), *ticket(breaker, 5.0).told[:1], breaker.command(Reason.RESET, 5.0)]
    moves += [breaker.command(reason, 6.0) for reason in (Reason.FORCED, Reason.DISABLED)]
    assert [(moved.entered, moved.severity) for moved in moves] == [
        ("open", Severity.ERROR),
        ("half_open", Severity.WARN),
        ("closed", Severity.INFO),
        ("forced_open", Severity.WARN),
        ("disabled", Severity.WARN),
    ]


def test_transitions_outlive_sampling_and_refusals_make_their_call_notable():
    assert [decision.LASTING for decision in DECISIONS] == [True, False, False]
    assert [decision.NOTABLE for decision in DECISIONS] == [True, True, False]


def test_the_metrics_are_those_of_the_contract():
    declared = {
        name.removeprefix("spanwire.circuit_breaker."): (
            metric.kind,
            metric.unit,
            [attribute.key for attribute in metric.attributes],
        )
        for name, metric in METRICS.items()
        if name.startswith("spanwire.circuit_breaker.")
    }
    name, state = "spanwire.circuit_breaker.name", "spanwire.circuit_breaker.state"
    moved = ["spanwire.circuit_breaker.from", "spanwire.circuit_breaker.to", "spanwire.reason"]
    assert declared == {
        "status": ("updown", "1", [name, state]),
        "state.time": ("counter", "s", [name, state]),
        "transitions": ("counter", "{transition}", [name, *moved]),
        "rejections": ("counter", "{call}", [name, "spanwire.enforced"]),
        "failures": ("counter", "{call}", [name]),
        "calls": ("counter", "{call}", [name]),
    }
    assert METRICS["spanwire.circuit_breaker.status"].attributes[1].values == tuple(State)
