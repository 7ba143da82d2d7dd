import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwire.errors import ConfigurationError
from spanwire.policies.retry.budget import Budget, _after_fork
from spanwire.policies.retry.config import RetryBudget


def test_it_starts_full_and_says_so():
    budget = Budget(RetryBudget())
    assert repr(budget) == "<Budget 500/500>"
    assert budget.take(14)
    assert repr(budget) == "<Budget 486/500>"


def test_too_few_tokens_take_nothing():
    budget = Budget(RetryBudget(capacity=20))
    assert [budget.take(14), budget.take(14), budget.take(6), budget.take(1)] == [True, False, True, False]


def test_a_refund_never_overflows_the_bucket():
    budget = Budget(RetryBudget(capacity=20))
    budget.take(5)
    budget.refund(14)
    assert budget.available == 20


def test_a_success_puts_one_token_back():
    budget = Budget(RetryBudget())
    budget.succeeded()
    assert budget.available == 500
    budget.take(14)
    budget.succeeded()
    assert budget.available == 487


moves = st.lists(st.tuples(st.sampled_from(["take", "refund", "succeeded"]), st.floats(0, 600)))


@given(moves, st.floats(14, 1000))
def test_there_are_never_fewer_than_no_tokens_nor_more_than_fit(steps, capacity):
    budget = Budget(RetryBudget(capacity=capacity))
    for step, tokens in steps:
        before = budget.available
        if step == "take":
            assert budget.take(tokens) is (before >= tokens)
        elif step == "refund":
            budget.refund(tokens)
        else:
            budget.succeeded()
        assert 0 <= budget.available <= capacity


@pytest.mark.parametrize(("share", "drains"), [(0.15, False), (0.30, True)])
def test_it_drains_where_more_than_about_a_fifth_of_the_attempts_fail(share, drains):
    """AWS's own figure of 22 % for transient failures, by the expected change of one call with three attempts."""
    budget = Budget(RetryBudget())
    change = (1 - share) * 1 - 14 * share**2 * (1 + share)
    for _ in range(2000):
        budget.refund(change) if change > 0 else budget.take(min(-change, budget.available))
    assert (budget.available < 1) is drains


def test_many_threads_spend_exactly_what_there_is():
    budget = Budget(RetryBudget(capacity=500))
    taken = []

    def spend():
        taken.extend(budget.take(1) for _ in range(200))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 500
    assert budget.available == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_lock_held_at_a_fork_does_not_hang_the_child():
    budget = Budget(RetryBudget())
    with budget._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if budget.take(14) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_has_locks_of_its_own():
    budget = Budget(RetryBudget())
    budget._lock.acquire()
    _after_fork()
    assert budget.take(14)


def test_a_bucket_too_small_for_one_retry_is_refused():
    with pytest.raises(ConfigurationError, match="`capacity` = 10 is below the cost of one retry, 14"):
        RetryBudget(capacity=10)
