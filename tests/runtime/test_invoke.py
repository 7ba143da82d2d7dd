"""`io.invoke`: functions of the user, plain or async."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from tests.testing.colours import Colour


def plain(a: int, b: int) -> int:
    return a + b


async def asynchronous(a: int, b: int) -> int:
    return a + b


class Awaitable:
    def __await__(self) -> Generator[None, None, int]:
        return asynchronous(1, 2).__await__()


@pytest.mark.parametrize("function", [plain, asynchronous])
def test_plain_and_async_functions_are_called(colour: Colour, function) -> None:
    assert colour.run(colour.runtime().invoke(function, 1, 2)) == 3


@pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)
def test_any_awaitable_is_awaited_by_an_async_client(colour: Colour) -> None:
    assert colour.run(colour.runtime().invoke(Awaitable)) == 3


@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_a_sync_client_says_what_it_cannot_wait_for(colour: Colour) -> None:
    with pytest.raises(TypeError, match=r"Awaitable.* returned an awaitable .* give it a plain function"):
        colour.run(colour.runtime().invoke(Awaitable))

    async def suspending() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="await only"):
        colour.run(colour.runtime().invoke(suspending))


def test_what_the_function_raises_is_raised(colour: Colour) -> None:
    with pytest.raises(ZeroDivisionError):
        colour.run(colour.runtime().invoke(lambda: 1 / 0))
