"""The window counts exactly what a naive model counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spanwire.policies.circuit_breaker.window import Window

STEPS = st.lists(st.tuples(st.floats(0, 12), st.booleans(), st.booleans()), max_size=60)


@given(steps=STEPS, seconds=st.sampled_from([0.1, 1.0, 10.0, 30.0]))
def test_counts_are_exact_against_a_naive_model_at_every_step(steps, seconds):
    window, model, now = Window(seconds), [], 0.0
    for step, failed, slow in steps:
        now += step
        window.add(now, failed, slow)
        model.append((int(now * (10 / seconds)), failed, slow))
        kept = [each for each in model if each[0] > model[-1][0] - 10]
        assert window.calls == len(kept)
        assert window.failures == sum(failed for _, failed, _ in kept)
        assert window.slow == sum(slow for _, _, slow in kept)


def test_a_call_counts_until_its_bucket_is_ten_buckets_old():
    window = Window(10)
    window.add(0.9, failed=True, slow=False)
    window.advance(9.99)
    assert window.failures == 1
    window.advance(10.0)
    assert window.failures == window.calls == 0


def test_a_long_pause_empties_it():
    window = Window(10)
    for second in range(10):
        window.add(second, failed=True, slow=True)
    assert repr(window) == "<Window 10 of 10 failed, 10 slow>"
    window.advance(1e9)
    assert repr(window) == "<Window 0 of 0 failed, 0 slow>"


def test_a_thread_that_read_the_clock_a_moment_earlier_is_counted_as_of_now():
    window = Window(10)
    window.add(5.0, failed=False, slow=False)
    window.add(3.9, failed=True, slow=False)
    window.advance(4.0)
    assert window.ratio == 0.5
    window.advance(14.0)
    assert window.calls == 2
    window.advance(15.0)
    assert window.calls == 0


def test_an_empty_window_has_no_failures_to_share_out():
    assert Window(1).ratio == 0.0
