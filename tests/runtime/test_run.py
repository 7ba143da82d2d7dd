"""The driver of the sync colour."""

from __future__ import annotations

import asyncio

import pytest

from spanwire.runtime.sync import run


async def three() -> int:
    return 3


async def twice() -> int:
    return await three() + await three()


def test_it_runs_a_coroutine_that_never_suspends() -> None:
    assert run(twice()) == 6


def test_it_raises_what_the_coroutine_raises() -> None:
    async def failing() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        run(failing())


def test_it_refuses_one_that_suspends_and_lets_it_clean_up() -> None:
    cleaned_up: list[bool] = []

    async def suspending() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned_up.append(True)

    with pytest.raises(RuntimeError, match=r"await only `call\(\.\.\.\)` and `io\.\*`"):
        run(suspending())
    assert cleaned_up == [True]
