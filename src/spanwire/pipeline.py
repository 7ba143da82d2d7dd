"""From a policy to the chain of its layers around one send.

interceptors around the call -> fallback -> total deadline -> retry -> circuit breaker -> attempt timeout
    -> interceptors around the attempt -> the attempt itself -> wire
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import httpx

from .call import ATTEMPT, CALL, CUT, KIND, Call
from .decisions import Metric
from .kit import Kit, Layer
from .ledger import Observation
from .policies import CHAIN, Policy, Step
from .runtime.protocol import Next, Runtime

Middleware = Callable[[httpx.Request, Next, Runtime], Any]
"""`async def middleware(request, call, io) -> response`: go on with `await call(request)`."""

MAX_VARIANTS = 64
"""Chains kept for the different `override(...)`s of one client."""


class Pipeline:
    """The layers of one policy, in the fixed order, with the state that they keep."""

    def __init__(self, policy: Policy, kit: Kit, previous: Pipeline | None = None) -> None:
        self.policy = policy
        self.kit = kit
        self.layers: dict[Step, Layer[Any]] = dict(self._built(previous))
        self._variants: OrderedDict[Any, Pipeline] = OrderedDict()

    @property
    def observed(self) -> frozenset[Metric]:
        """The metrics whose values of now `observe` tells."""
        return frozenset(metric for layer in self.layers.values() for metric in layer.OBSERVES)

    def _built(self, previous: Pipeline | None) -> Iterator[tuple[Step, Layer[Any]]]:
        for step in CHAIN:
            config = getattr(self.policy, step.field)
            if config is not None and getattr(config, "mode", "") != "disabled":
                yield step, step.layer(config, self.kit, previous.layers.get(step) if previous else None)

    def chain(self, io: Runtime, around_call: Sequence[Middleware], around_attempt: Sequence[Middleware]) -> Next:
        """The coroutine function that takes a request through all layers to the wire of a runtime."""
        call: Next = _attempt(self.kit, io)
        for middleware in (*around_call, *self.layers.values(), *around_attempt)[::-1]:
            call = _bound(middleware, call, io)
        return call

    def variant(self, parts: Mapping[str, Any]) -> Pipeline:
        """This pipeline with other parts, for one call's override; parts that did not change share their state."""
        key = tuple(sorted((name, _key(part)) for name, part in parts.items()))
        found = self._variants.get(key)
        if found is None:
            found = Pipeline(self.policy.model_copy(update=dict(parts)), self.kit, self)
            self._variants[key] = found
            while len(self._variants) > MAX_VARIANTS:
                self._variants.popitem(last=False)
        return found

    def observe(self) -> Iterable[Observation]:
        """The values of now of every layer."""
        for layer in list(self.layers.values()):
            yield from layer.observe()


def _key(part: Any) -> str:
    """Equal for parts that ask for the same; callables in it count by identity."""
    return (
        "" if part is None else repr(part) + json.dumps([id(value) for value in vars(part).values() if callable(value)])
    )


def _bound(layer: Any, call: Next, io: Runtime) -> Next:
    """A layer with the rest of the chain; a partial, since a function of ours would cost a frame per layer and call."""
    return partial(layer.__call__ if isinstance(layer, Layer) else layer, call=call, io=io)


def _attempt(kit: Kit, io: Runtime) -> Next:
    """The end of the chain: one request on the wire, with the listeners told of its beginning and end."""
    clock, signals, send = kit.clock, kit.signals, io.send

    async def attempt(request: httpx.Request) -> httpx.Response:
        extensions = request.extensions
        this: Call = extensions[CALL]
        attempt = extensions[ATTEMPT] = this.begin(extensions[KIND], clock())
        end = signals.attempt(this, attempt, request)
        try:
            response = await send(request)
            attempt.status = response.status_code
            attempt.protocol = response.extensions.get("http_version")
            return response
        except BaseException as error:
            if isinstance(error, Exception):
                attempt.error = error_type(error)
            elif clock() >= extensions.get(CUT, inf):
                attempt.error = (
                    "spanwire.AttemptTimeout"  # it was the deadline that cancelled; else neither failure nor success
                )
            raise
        finally:
            this.finish(attempt, clock())
            if end is not None:
                try:
                    end()
                except Exception as error:
                    signals.failed(end, error)

    return attempt


def error_type(error: BaseException) -> str:
    """The class of an error as telemetry names it: `httpx.ReadTimeout`, `builtins` left out."""
    kind = type(error)
    return (
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"
    )
