"""The ledger by itself: integers that are counted once, by many threads, and never go back."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest

from spanwire.decisions import CLIENT, Attribute, Count, Decision, counter, updown
from spanwire.ledger import DROPPED, OTHER, Account, Book, Cell, Observation
from tests.integration.counting import declared_here

SHELF = Attribute("test.ledger.shelf", "A label with room for two values.", limit=2)
COLOUR = Attribute("test.ledger.colour", "A closed set.", values=("red", "green"))


@pytest.fixture(autouse=True, scope="module")
def declared() -> Iterator[None]:
    """The metrics and decisions of this file are nobody else's."""
    with declared_here():
        _World.declare()
        yield


class _World:
    """What is declared for these stories."""

    @classmethod
    def declare(cls) -> None:
        cls.loans = counter("test.ledger.loans", "{loan}", "Loans.", SHELF, COLOUR)
        cls.pages = counter("test.ledger.pages", "{page}", "Pages.")
        cls.open_time = counter("test.ledger.open.time", "s", "Time open.", COLOUR)
        cls.status = updown("test.ledger.status", "1", "Open or not.", COLOUR)

        @dataclass(frozen=True, slots=True)
        class Lent(Decision):
            NAME: ClassVar[str] = "test.ledger.lent"
            MOVES: ClassVar[tuple[Count, ...]] = (Count(cls.loans), Count(cls.pages, by="pages"))

            shelf: Annotated[str, SHELF]
            colour: Annotated[str, COLOUR]
            pages: Annotated[int, Attribute("test.ledger.pages", "Pages.")]

        cls.Lent = Lent


def told(book: Book, metric: object) -> dict[tuple[str, tuple[str, ...]], float]:
    return book.read(metric)  # type: ignore[arg-type]


def opened(book: Book, client: str = "library") -> Account:
    account = Account(client)
    book.open(account)
    return account


# -- counting ----------------------------------------------------------------------------------------------------------


def test_a_decision_counts_under_the_labels_that_its_own_fields_give() -> None:
    account = Account("library")
    account.count(_World.Lent("history", "red", 300))
    account.count(_World.Lent("history", "red", 20))
    account.count(_World.Lent("poetry", "green", 5))
    assert account.value("test.ledger.loans", shelf="history") == 2
    assert account.value("test.ledger.loans", colour="green") == 1
    assert account.value("test.ledger.pages") == 325


def test_the_same_series_is_the_same_cell() -> None:
    account = Account("library")
    assert account.cell(_World.loans, "a", "red") is account.cell(_World.loans, "a", "red")
    assert isinstance(account.cell(_World.pages), Cell)


def test_labels_beyond_the_limit_share_one_series_and_are_counted_as_dropped() -> None:
    account = Account("library")
    for number in range(10):
        account.cell(_World.loans, f"shelf {number}", "red").value += 1
    assert {labels: cell.value for labels, cell in account.cells[_World.loans].items()} == {
        ("shelf 0", "red"): 1,
        ("shelf 1", "red"): 1,
        (OTHER, "red"): 8,
    }
    assert account.value(DROPPED.name, kind="series") == 8
    assert account.cell(_World.loans, "shelf 1", "green").value == 0, "a known label finds its place in further series"


def test_a_label_that_is_bounded_outside_the_ledger_is_counted_as_dropped_too() -> None:
    account = Account("library")
    assert [account.bounded(SHELF, name) for name in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]
    assert account.value(DROPPED.name, kind="series") == 1


def test_values_of_a_closed_set_have_no_limit() -> None:
    assert Account("library").bounded(COLOUR, "red") == "red"


def test_eight_threads_that_count_the_same_series_lose_nothing() -> None:
    account, start, rounds = Account("library"), threading.Barrier(8), 5_000

    def hammer() -> None:
        start.wait()
        for number in range(rounds):
            account.count(_World.Lent(f"shelf {number % 5}", "red", 3))

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.value("test.ledger.loans") == 8 * rounds
    assert account.value("test.ledger.pages") == 3 * 8 * rounds


def test_eight_threads_that_make_the_same_series_make_one_cell() -> None:
    for _ in range(200):
        account, start, made = Account("library"), threading.Barrier(8), []

        def make(account: Account = account, start: threading.Barrier = start, made: list[Cell] = made) -> None:
            start.wait()
            made.append(account.cell(_World.loans, "a", "red"))

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(cell) for cell in made}) == 1


# -- reading -----------------------------------------------------------------------------------------------------------


def test_accounts_of_one_name_are_summed_and_other_names_stand_apart() -> None:
    book = Book()
    for client, much in (("a", 1), ("a", 2), ("b", 4)):
        opened(book, client).cell(_World.pages).value += much
    assert told(book, _World.pages) == {("a", ()): 3, ("b", ()): 4}


def test_what_ended_accounts_counted_stays_in_the_sums() -> None:
    book, account = Book(), Account("a")
    book.open(account)
    account.cell(_World.pages).value += 3
    book.close(account)
    opened(book, "a").cell(_World.pages).value += 1
    assert told(book, _World.pages) == {("a", ()): 4}


def test_an_account_that_is_closed_twice_counts_once() -> None:
    book = Book()
    account = opened(book)
    account.cell(_World.pages).value += 3
    book.close(account)
    book.close(account)
    assert told(book, _World.pages) == {("library", ()): 3}


def test_what_is_counted_after_the_client_was_closed_still_counts() -> None:
    book = Book()
    account = opened(book)
    account.rest()
    account.cell(_World.pages).value += 3
    assert told(book, _World.pages) == {("library", ()): 3}
    book.close(account)
    assert told(book, _World.pages) == {("library", ()): 3}


def test_accounts_of_one_name_share_the_room_for_labels_however_many_there_were() -> None:
    book = Book()
    for number in range(10):
        account = opened(book)
        account.cell(_World.loans, f"shelf {number}", "red").value += 1
        book.close(account)
    assert told(book, _World.loans) == {
        ("library", ("shelf 0", "red")): 1,
        ("library", ("shelf 1", "red")): 1,
        ("library", (OTHER, "red")): 8,
    }
    assert account.value("test.ledger.loans", shelf="shelf 9") == 1, "its own figures are its own"


def test_names_of_clients_beyond_the_limit_are_told_together_and_counted() -> None:
    """A client is named by the host of its base URL, and a program may have clients for any number of them."""
    book = Book()
    for number in range(CLIENT.limit + 10):
        for _ in range(2):
            account = opened(book, f"client {number}")
            account.cell(_World.pages).value += 1
            book.close(account)
    names = {name for name, _ in told(book, _World.pages)}
    assert len(names) == CLIENT.limit + 1
    assert told(book, _World.pages)[OTHER, ()] == 20
    assert told(book, DROPPED)[OTHER, ("series",)] == 20
    assert account.client == f"client {CLIENT.limit + 9}", "its own name it keeps"


def test_a_book_keeps_no_ended_account_alive() -> None:
    book = Book()
    account = opened(book)
    account.cell(_World.pages).value += 3
    account.observe = (known := _Observer()).observe
    held = weakref.ref(known)
    del known
    book.close(account)
    told(book, _World.pages)
    del account
    gc.collect()
    assert held() is None


class _Observer:
    def observe(self) -> tuple[Observation, ...]:
        return ()


def test_accounts_that_end_where_nobody_reads_do_not_pile_up() -> None:
    book = Book()
    for _ in range(100):
        book.close(opened(book))
    assert len(book._ended) <= 1
    assert len(book._open) <= 1


def test_an_account_may_end_while_the_book_is_being_read() -> None:
    """A client that is collected as garbage ends in whatever thread, at whatever line."""
    book = Book()
    accounts = [opened(book, f"client {number}") for number in range(50)]
    for account in accounts:
        account.cell(_World.pages).value += 1

    class Ends(dict):  # type: ignore[type-arg]
        """Sums in the middle of whose reading an account ends."""

        def items(self) -> object:
            for item in super().items():
                if accounts:
                    book.close(accounts.pop())
                yield item

    book.close(accounts.pop())
    told(book, _World.pages)
    book._sums = Ends(book._sums)
    assert sum(told(book, _World.pages).values()) == 50
    assert sum(told(book, _World.pages).values()) == 50


# -- the values of now -------------------------------------------------------------------------------------------------


def observing(account: Account, *said: Observation) -> None:
    account.observe, account.observed = (lambda: said), frozenset({_World.status, _World.open_time})


def test_levels_are_told_while_the_client_lives_and_not_afterwards() -> None:
    book = Book()
    account = opened(book)
    observing(account, Observation(_World.status, 1, ("red",)))
    assert told(book, _World.status) == {("library", ("red",)): 1}
    account.rest()
    assert told(book, _World.status) == {}


def test_a_counter_that_runs_on_adds_what_is_running_to_its_cell() -> None:
    book = Book()
    account = opened(book)
    account.cell(_World.open_time, "red").value += 5
    observing(account, Observation(_World.open_time, 2, ("red",)))
    assert told(book, _World.open_time) == {("library", ("red",)): 7}


def test_a_running_counter_stays_where_it_was_when_its_client_ends() -> None:
    book = Book()
    account = opened(book)
    account.cell(_World.open_time, "red").value += 5
    observing(account, Observation(_World.open_time, 2, ("red",)))
    book.close(account)
    assert told(book, _World.open_time) == {("library", ("red",)): 7}


def test_a_running_counter_whose_client_was_dropped_never_goes_back() -> None:
    book = Book()
    account = opened(book)
    account.cell(_World.open_time, "red").value += 5
    observing(account, Observation(_World.open_time, 2, ("red",)))
    told(book, _World.open_time)
    account.observe = tuple  # its engine is gone: nobody can say what is running
    assert told(book, _World.open_time) == {("library", ("red",)): 7}
    book.close(account)
    assert told(book, _World.open_time) == {("library", ("red",)): 7}


def test_what_moves_at_every_look_is_told_all_the_same_and_does_not_go_back() -> None:
    book = Book()
    account = opened(book)
    moving = account.cell(_World.open_time, "red")

    def observe() -> Iterator[Observation]:
        moving.value += 1
        yield Observation(_World.open_time, 1, ("red",))

    account.observe, account.observed = observe, frozenset({_World.open_time})
    first, second = (sum(told(book, _World.open_time).values()) for _ in range(2))
    assert 0 < first <= second


def test_what_becomes_a_cell_while_it_is_observed_is_not_told_twice() -> None:
    book = Book()
    account = opened(book)
    cell = account.cell(_World.open_time, "red")
    moves = [3.0]

    def observe() -> Iterator[Observation]:
        running = sum(moves)
        yield Observation(_World.open_time, running, ("red",))
        if moves:  # a state ends here, between the observation and the reading of the cell
            cell.value += moves.pop()

    account.observe, account.observed = observe, frozenset({_World.open_time})
    assert told(book, _World.open_time) == {("library", ("red",)): 3.0}


def test_an_observation_that_fails_takes_nothing_else_with_it_and_is_counted() -> None:
    book = Book()
    sound, broken = opened(book, "sound"), opened(book, "broken")
    observing(sound, Observation(_World.status, 1, ("red",)))
    broken.cell(_World.open_time, "red").value += 5

    def observe() -> Iterator[Observation]:
        raise RuntimeError("no idea")
        yield

    broken.observe, broken.observed = observe, frozenset({_World.status, _World.open_time})
    assert told(book, _World.status) == {("sound", ("red",)): 1}
    assert told(book, _World.open_time)["broken", ("red",)] == 5
    assert broken.value(DROPPED.name, kind="listener") > 0


# -- fork --------------------------------------------------------------------------------------------------------------


def test_a_forked_child_starts_from_zero_and_waits_for_nobodys_lock() -> None:
    book = Book()
    open_, ended = opened(book, "open"), opened(book, "ended")
    for account in (open_, ended):
        account.cell(_World.pages).value += 3
    observing(open_, Observation(_World.open_time, 2, ("red",)))
    told(book, _World.open_time)
    book.close(ended)
    told(book, _World.pages)
    open_._lock.acquire()
    book._lock.acquire()
    book.after_fork()
    assert set(told(book, _World.pages).values()) == {0}
    assert told(book, _World.open_time) == {("open", ("red",)): 2}, (
        "what runs on, runs on from the fork by its own care"
    )
    open_.cell(_World.pages).value += 1
    open_.cell(_World.loans, "new", "red").value += 1
    assert told(book, _World.pages)["open", ()] == 1


def test_a_dropped_book_is_forgotten() -> None:
    book = Book()
    opened(book)
    known = weakref.ref(book)
    del book
    gc.collect()
    assert known() is None
