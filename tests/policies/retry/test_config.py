import httpx
import pytest

from spanwire.errors import ConfigurationError
from spanwire.policies.retry.backoff import Exponential
from spanwire.policies.retry.config import Retry, RetryBudget


def test_the_defaults_are_the_documented_ones():
    retry = Retry()
    assert retry.max_attempts == 3
    assert retry.backoff == Exponential(base=0.05, factor=2, cap=20, jitter="full")
    assert retry.on_status == {408, 425, 429, 500, 502, 503, 504}
    assert retry.budget == RetryBudget(capacity=500, transient_cost=14, throttling_cost=5, success_refund=1)
    assert (retry.max_retry_after, retry.throttle_base, retry.drain_limit) == (60, 1, 65536)


def test_it_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Retry().max_attempts = 5


def test_a_file_names_errors_as_httpx_does():
    assert Retry(on_exception=["ReadTimeout", httpx.ConnectError]).on_exception == (
        httpx.ReadTimeout,
        httpx.ConnectError,
    )


@pytest.mark.parametrize("error", ["NoSuchError", "Client", KeyboardInterrupt, int, 3])
def test_what_is_no_exception_class_is_refused(error):
    with pytest.raises(ConfigurationError, match=r"on_exception.*is not an exception class"):
        Retry(on_exception=[error])


def test_methods_are_written_in_any_case():
    assert Retry(idempotent_methods=["get", "Search"]).idempotent_methods == {"GET", "SEARCH"}


@pytest.mark.parametrize("off", [None, False, "off"])
def test_the_budget_can_be_switched_off(off):
    assert Retry(budget=off).budget is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_attempts": 0}, ["max_attempts", "0"]),
        ({"max_atempts": 3}, ["max_atempts", "did you mean `max_attempts`"]),
        ({"on_status": [99]}, ["on_status", "99"]),
        ({"max_retry_after": -1}, ["max_retry_after", "-1"]),
        ({"budget": {"capacity": 1}}, ["budget", "below the cost"]),
        ({"budget": {"capacty": 1}}, ["budget.capacty", "did you mean `capacity`"]),
        ({"backoff": {"kind": "exponential", "bsae": 1}}, ["`backoff.bsae`", "did you mean `base`"]),
        ({"backoff": {"base": 0}}, ["`backoff.base` = 0"]),
        ({"should_retry": "yes"}, ["should_retry", "callable"]),
        ({"drain_limit": -1}, ["drain_limit"]),
    ],
)
def test_impossible_settings_name_field_value_and_remedy(settings, named):
    with pytest.raises(ConfigurationError) as caught:
        Retry(**settings)
    assert all(name in str(caught.value) for name in named), str(caught.value)
