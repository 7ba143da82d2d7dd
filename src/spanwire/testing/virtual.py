"""Virtual time: an async test on trio, where the clock jumps as soon as everything waits for it.

Sleeps, backoffs, timeouts and deadlines take no time and end in the right order, down to the last tick. Nothing real
may be waited for, since the clock would jump meanwhile: let a transport of the test answer, such as
`httpx.MockTransport` with an `async` handler that sleeps.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from ..errors import ConfigurationError

try:
    import trio
    import trio.testing
except ImportError as error:
    raise ConfigurationError(f"virtual time needs `{error.name}`: install spanwire[testing]") from None

P = ParamSpec("P")
T = TypeVar("T")


class VirtualTime:
    """Runs async functions in virtual time: `virtual_time.run(story)`, with `AsyncClient(clock=virtual_time.clock)`."""

    @staticmethod
    def clock() -> float:
        """Seconds of virtual time, for `AsyncClient(clock=virtual_time.clock)`; inside a run only."""
        return trio.current_time()

    @staticmethod
    def run(function: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        """Run an async function to its end, from the time 0."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(functools.partial(function, *arguments, **named), clock=clock)

    def __repr__(self) -> str:
        return "<VirtualTime>"


def in_virtual_time(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Decorate an async test so that it runs in virtual time; it needs no pytest plugin, and takes fixtures as ever.

    ```python
    @in_virtual_time
    async def test_the_third_attempt_comes_after_three_seconds():
        async with AsyncClient(transport=..., policy=..., clock=trio.current_time) as client:
            await client.get("https://billing.internal/")
        assert trio.current_time() == 3.0
    ```
    """

    @functools.wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        return VirtualTime.run(function, *arguments, **named)

    return run
