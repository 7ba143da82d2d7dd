"""What a policy is built from: `Kit` is all it gets, `Layer` is all it must be."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, Self, TypeVar

import httpx

from .decisions import Metric
from .ledger import Observation
from .runtime.protocol import Next, Runtime
from .signals import Signals

Config = TypeVar("Config")


class Kit:
    """The client's name, clocks, source of randomness and signals.

    `clock` gives seconds that only grow; `wall` is the time of day.
    """

    __slots__ = ("client", "clock", "random", "signals", "wall")

    def __init__(
        self,
        client: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: random.Random,
        signals: Signals,
    ) -> None:
        self.client = client
        self.clock = clock
        self.wall = wall
        self.random = random
        self.signals = signals


class Layer(Generic[Config]):
    """One policy in the chain of one client, shared by its threads and loops.

    `previous` is the layer that this one takes the place of, at `client.reload` or for one call's `override`: keep its
    state where the configuration that the state depends on did not change.
    """

    OBSERVES: ClassVar[tuple[Metric, ...]] = ()
    """The metrics that `observe` speaks of."""

    def __init__(self, config: Config, kit: Kit, previous: Self | None = None) -> None:
        self.config = config
        self.kit = kit

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        """Decide, go on with `await call(request)`, and tell what was decided through `self.kit.signals`."""
        raise NotImplementedError

    def observe(self) -> Iterable[Observation]:
        """The values of now, at the collection of metrics."""
        return ()

    def handle(self) -> Any:
        """What the user gets to see of it as `client.<name>`; None if nothing."""
        return None
