from random import Random

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwire.errors import ConfigurationError
from spanwire.policies.retry.backoff import (
    Backoff,
    Custom,
    DecorrelatedJitter,
    Exponential,
    Fibonacci,
    Fixed,
    Linear,
)

ANY = pydantic.TypeAdapter(Backoff)
ALL = [
    *(Exponential(jitter=jitter) for jitter in ("full", "equal", "proportional", "none")),
    Linear(base=0.1),
    Fibonacci(base=0.1),
    DecorrelatedJitter(),
    Fixed(seconds=2),
]
attempts = st.integers(min_value=1, max_value=10**400) | st.integers(min_value=1, max_value=100)


def exact(backoff, count=7):
    return [round(backoff.delay(attempt, Random(1)), 3) for attempt in range(1, count + 1)]


def test_exponential_doubles_up_to_its_cap():
    assert exact(Exponential(base=0.1, cap=1, jitter="none")) == [0.1, 0.2, 0.4, 0.8, 1, 1, 1]


def test_linear_adds_its_base_each_time():
    assert exact(Linear(base=0.5, cap=2, jitter="none")) == [0.5, 1, 1.5, 2, 2, 2, 2]


def test_fibonacci_adds_the_two_waits_before():
    assert exact(Fibonacci(base=1, cap=10, jitter="none")) == [1, 1, 2, 3, 5, 8, 10]


def test_fixed_is_always_the_same():
    assert exact(Fixed(seconds=0.25), 3) == [0.25, 0.25, 0.25]


def test_custom_asks_a_function_and_never_waits_a_negative_time():
    assert exact(Custom(function=lambda attempt: attempt - 2), 4) == [0, 0, 1, 2]
    assert Custom(function=lambda attempt: float("nan")).delay(1, Random(1)) == 0
    assert Custom(function=float).bound(3) == 0, "not known"


@given(attempts, st.randoms(use_true_random=False))
@pytest.mark.parametrize("backoff", ALL, ids=lambda backoff: f"{backoff.kind}-{getattr(backoff, 'jitter', '')}")
def test_no_delay_is_negative_or_above_its_bound_however_large_the_attempt(backoff, attempt, random):
    delay = backoff.delay(attempt, random)
    assert 0 <= delay <= backoff.bound(attempt) <= getattr(backoff, "cap", 2)


@given(st.floats(0, 1, exclude_max=True))
def test_each_jitter_spreads_over_its_own_range(number):
    class Given(Random):
        def random(self):
            return number

    def delay(jitter):
        return Exponential(base=1, jitter=jitter, jitter_range=(0.8, 1.2)).delay(3, Given())

    assert delay("none") == 4
    assert delay("full") == pytest.approx(4 * number)
    assert delay("equal") == pytest.approx(2 + 2 * number)
    assert delay("proportional") == pytest.approx(4 * (0.8 + 0.4 * number))


def test_proportional_jitter_never_leaves_the_cap():
    backoff = Exponential(base=1, cap=1, jitter="proportional", jitter_range=(1, 2))
    assert {backoff.delay(attempt, Random(attempt)) for attempt in range(1, 50)} == {1}


def test_full_jitter_has_the_mean_of_half_its_bound():
    random = Random(3)
    delays = [Exponential().delay(4, random) for _ in range(4000)]
    assert sum(delays) / 4000 == pytest.approx(0.2, rel=0.05)


def test_decorrelated_jitter_grows_to_its_published_means():
    random = Random(3)

    def mean(attempt):
        return sum(DecorrelatedJitter(base=0.1).delay(attempt, random) for _ in range(4000)) / 4000

    assert [mean(attempt) for attempt in (1, 2, 3, 6)] == pytest.approx([0.2, 0.35, 0.57, 2.16], rel=0.1)


@pytest.mark.parametrize("backoff", [Exponential(), Linear(), Fibonacci(), DecorrelatedJitter()])
def test_after_throttling_a_growing_backoff_starts_from_a_second(backoff):
    assert backoff.throttled(1.0).base == 1.0
    assert backoff.throttled(0.001).base == backoff.base, "never from less than it does by itself"
    assert backoff.throttled(1000).base == backoff.cap


@pytest.mark.parametrize("backoff", [Fixed(seconds=0.1), Custom(function=lambda attempt: 0.1)])
def test_what_the_user_fixed_stays_as_it_is_after_throttling(backoff):
    assert backoff.throttled(1.0).delay(1, Random(1)) == 0.1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"kind": "exponential", "base": 0.1}, Exponential(base=0.1)),
        ({"base": 0.1}, Exponential(base=0.1)),
        ("fibonacci", Fibonacci()),
        ({"kind": "decorrelated", "cap": 3}, DecorrelatedJitter(cap=3)),
        ({"kind": "linear"}, Linear()),
        ({"kind": "fixed", "seconds": 2}, Fixed(seconds=2)),
    ],
)
def test_a_file_names_a_backoff_by_its_kind(data, expected):
    assert ANY.validate_python(data) == expected


@pytest.mark.parametrize("data", [{"kind": "quadratic"}, "quadratic", 3, {"kind": ["linear"]}])
def test_an_unknown_kind_is_refused_with_those_that_there_are(data):
    with pytest.raises(pydantic.ValidationError, match="exponential, decorrelated, linear, fibonacci or fixed"):
        ANY.validate_python(data)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Exponential(base=0), "base"),
        (lambda: Exponential(base=30), "cap"),
        (lambda: DecorrelatedJitter(base=30), "cap"),
        (lambda: Exponential(factor=0.5), "factor"),
        (lambda: Exponential(jitter="some"), "jitter"),
        (lambda: Exponential(jitter_range=(1, 0.5)), "jitter_range"),
        (lambda: Exponential(base=float("inf")), "base"),
        (lambda: Fixed(seconds=-1), "seconds"),
        (lambda: Custom(function=3), "function"),
    ],
)
def test_impossible_settings_name_themselves(build, field):
    with pytest.raises(ConfigurationError, match=field):
        build()


def test_a_grown_wait_is_each_kinds_own():
    from spanwire.policies.retry.backoff import _Growing

    with pytest.raises(NotImplementedError):
        _Growing().delay(1, Random(1))
