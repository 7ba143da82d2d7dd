"""What is impossible is refused with its field, its value and a remedy."""

from __future__ import annotations

import pytest

from spanwire.errors import ConfigurationError
from spanwire.policies.circuit_breaker import CircuitBreaker


def test_the_defaults_are_safe_to_ship():
    config = CircuitBreaker()
    assert (config.failure_ratio, config.window, config.min_calls) == (0.5, 30, 20)
    assert (config.break_duration, config.max_break_duration) == (5, 60)
    assert (config.half_open_max_calls, config.success_threshold) == (4, 2)
    assert config.consecutive_failures is config.slow_call_ratio is config.is_failure is config.scope is None
    assert config.mode == "enforce"
    assert config.count_429 is False
    assert config.max_breakers == 1024


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"failure_ratio": 0}, ["failure_ratio", "0"]),
        ({"failure_ratio": 1.5}, ["failure_ratio", "1.5"]),
        ({"window": 0}, ["window", "0"]),
        ({"min_calls": 0}, ["min_calls", "0"]),
        ({"consecutive_failures": 0}, ["consecutive_failures", "0"]),
        ({"break_duration": -1}, ["break_duration", "-1"]),
        ({"half_open_max_calls": 0}, ["half_open_max_calls", "0"]),
        ({"success_threshold": 0}, ["success_threshold", "0"]),
        ({"max_breakers": 0}, ["max_breakers", "0"]),
        ({"scope": "galaxy"}, ["scope", "galaxy", "origin"]),
        ({"mode": "off"}, ["mode", "off", "disabled"]),
        ({"is_failure": 7}, ["is_failure", "7", "callable"]),
        ({"failure_rate": 0.5}, ["failure_rate", "failure_ratio"]),
        ({"slow_call_ratio": 0.5}, ["slow_call_ratio", "0.5", "slow_call_duration"]),
        ({"slow_call_duration": 2}, ["slow_call_duration", "2", "slow_call_ratio"]),
        ({"break_duration": 120}, ["break_duration", "120", "max_break_duration", "60", "raise"]),
    ],
)
def test_a_mistake_is_named_with_its_value_and_a_remedy(settings, names):
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker(**settings)
    assert all(name in str(caught.value) for name in names), str(caught.value)


def test_both_parts_of_the_rule_for_slow_calls_go_together():
    assert CircuitBreaker(slow_call_ratio=0.5, slow_call_duration=2).slow_call_duration == 2


def test_a_function_stays_out_of_the_schema_and_of_what_is_written_down():
    config = CircuitBreaker(is_failure=lambda outcome: outcome.failed)
    assert "is_failure" not in config.model_dump(mode="json")
    assert "is_failure" not in CircuitBreaker.model_json_schema()["properties"]
    assert config != CircuitBreaker()
