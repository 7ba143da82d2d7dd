"""The map of breakers: bounded, least recently used first, and true in its numbers."""

from __future__ import annotations

from spanwire.ledger import Account, Book
from spanwire.policies.circuit_breaker import CircuitBreaker
from spanwire.policies.circuit_breaker.breakers import Breakers
from spanwire.policies.circuit_breaker.decisions import STATE_TIME, STATUS
from spanwire.policies.circuit_breaker.states import FAILURE, SUCCESS, Reason


def kept(breakers: Breakers) -> list[str]:
    return [breaker.name for breaker in breakers.all()]


def use(breakers: Breakers, name: str, now: float = 0.0, verdict=SUCCESS):
    mine = breakers.acquire(name, now)
    return mine.breaker.settle(mine, verdict, now)


def book(**settings) -> tuple[Breakers, Account]:
    account = Account("billing")
    return Breakers(CircuitBreaker(consecutive_failures=1, **settings), account), account


def test_each_name_has_one_breaker_made_at_its_first_use():
    breakers, _ = book()
    assert breakers.peek("a") is None
    assert repr(breakers) == "<Breakers none yet>"
    first, second, again = (breakers.acquire(name, 0.0).breaker for name in "aba")
    assert first is again is breakers.peek("a")
    assert first is not second
    assert repr(breakers) == "<Breakers b closed, a closed>"


def test_the_map_is_bounded_and_lets_go_of_the_least_recently_used():
    breakers, _ = book(max_breakers=3)
    for name in "abcad":
        use(breakers, name)
    assert kept(breakers) == ["c", "a", "d"]


def test_only_closed_breakers_with_nothing_in_flight_are_let_go():
    breakers, _ = book(max_breakers=2)
    breakers.acquire("in flight", 0.0)
    use(breakers, "open", verdict=FAILURE)
    breakers.command("forced", Reason.FORCED, 0.0)
    use(breakers, "closed", 1.0)
    use(breakers, "new", 1.0)
    assert kept(breakers) == ["in flight", "open", "forced", "new"]


def test_the_map_returns_to_its_bound_when_it_can():
    breakers, _ = book(max_breakers=2)
    tickets = [breakers.acquire(name, 0.0) for name in "abcd"]
    for mine in tickets:
        mine.breaker.settle(mine, SUCCESS, 0.0)
    use(breakers, "e")
    assert kept(breakers) == ["d", "e"]


def test_dead_origins_that_nobody_asks_again_do_not_fill_the_map_for_good():
    breakers, _ = book(max_breakers=2, break_duration=5)
    for name in ("dead", "dead too"):
        use(breakers, name, verdict=FAILURE)
    use(breakers, "alive", 100.0)
    assert kept(breakers) == ["dead too", "alive"]


def test_a_breaker_that_was_let_go_counts_on_where_it_left_off():
    breakers, account = book(max_breakers=1)
    use(breakers, "a", 0.0)
    use(breakers, "b", 7.0)
    use(breakers, "a", 9.0)
    series = {labels[0]: cell.value for labels, cell in account.cells[STATE_TIME].items() if labels[1] == "closed"}
    assert series == {"a": 7.0, "b": 2.0}
    calls = {labels: value for metric, value, labels in account.sums() if metric.name.endswith("breaker.calls")}
    assert calls == {("a",): 2, ("b",): 1}


def test_one_series_per_state_is_one_for_the_state_of_now():
    breakers, _ = book()
    use(breakers, "a", 2.0, FAILURE)
    seen = {labels: value for metric, value, labels in breakers.observe(5.0) if metric is STATUS}
    assert seen == {
        ("a", state): float(state == "open") for state in ("closed", "open", "half_open", "forced_open", "disabled")
    }
    assert [(value, labels) for metric, value, labels in breakers.observe(5.0) if metric is STATE_TIME] == [
        (3.0, ("a", "open"))
    ]


def test_time_in_states_is_whole_at_every_collection_and_after_the_client_has_ended():
    breakers, account = book()
    ledger, now = Book(), [0.0]
    account.observe, account.observed = (lambda: breakers.observe(now[0])), frozenset({STATUS, STATE_TIME})
    ledger.open(account)

    def told() -> dict[tuple[str, ...], float]:
        return {labels: value for (_, labels), value in ledger.read(STATE_TIME).items() if value}

    use(breakers, "a", 0.0)
    use(breakers, "a", 4.0, FAILURE)
    now[0] = 6.0
    assert told() == {("a", "closed"): 4.0, ("a", "open"): 2.0}
    now[0] = 7.0
    assert told() == {("a", "closed"): 4.0, ("a", "open"): 3.0}
    ledger.close(account)
    assert told() == {("a", "closed"): 4.0, ("a", "open"): 3.0}
    assert not ledger.read(STATUS)


def test_series_that_may_come_exist_from_the_start():
    breakers, account = book()
    use(breakers, "a")
    zero = {(metric.name.rpartition(".")[2], *labels[1:]) for metric, value, labels in account.sums() if value == 0}
    assert zero == {
        ("failures",),
        ("rejections", "true"),
        *(("time", state) for state in ("closed", "open", "half_open", "forced_open", "disabled")),
        ("transitions", "closed", "open", "failure_ratio"),
        ("transitions", "closed", "open", "consecutive_failures"),
        ("transitions", "open", "half_open", "break_over"),
        ("transitions", "half_open", "closed", "probes_succeeded"),
        ("transitions", "half_open", "open", "probe_failed"),
    }


def test_series_of_rules_and_modes_that_are_off_do_not_exist():
    account = Account("billing")
    use(Breakers(CircuitBreaker(slow_call_ratio=1, slow_call_duration=1, mode="observe"), account), "a")
    names = {labels[-1] for metric, _, labels in account.sums() if metric.name.endswith(("transitions", "rejections"))}
    assert names == {
        "false",
        "failure_ratio",
        "slow_call_ratio",
        "break_over",
        "probes_succeeded",
        "probe_failed",
        "probe_slow",
    }


def test_names_beyond_the_limit_of_metrics_are_told_together():
    breakers, account = book()
    for number in range(40):
        use(breakers, f"http://h{number}")
    labels = {labels[0] for metric, _, labels in breakers.observe(0.0)}
    assert len(labels) == 33
    assert "_other" in labels
    assert account.cells[STATE_TIME].keys() >= {("_other", "closed")}
    assert account.value("spanwire.circuit_breaker.calls") == 40


def test_a_forked_child_does_not_wait_for_a_lock_that_nobody_will_release():
    breakers, _ = book()
    mine = breakers.acquire("a", 0.0)
    breakers._lock.acquire()
    mine.breaker._lock.acquire()
    breakers.after_fork(3.0)
    use(breakers, "a", 3.0)
    use(breakers, "b", 3.0)
    assert kept(breakers) == ["a", "b"]
