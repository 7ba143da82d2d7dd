"""The fallback, outermost of all: serves something else where a call failed, tells it, and closes what it replaces."""

from __future__ import annotations

import httpx

from ...call import Call
from ...kit import Kit, Layer
from ...runtime.protocol import Next, Runtime
from ..outcome import Outcome
from .config import Fallback, FallbackResponse
from .core import applies, why
from .decisions import KIND, USES, Applied

DRAIN_LIMIT = 64 * 1024
DRAIN_TIME = 1.0
"""Bytes and seconds that reading a replaced answer, to keep its connection, may take."""


class Fallbacks(Layer[Fallback]):
    """Serves something else in place of a failure."""

    def __init__(self, config: Fallback, kit: Kit, previous: Fallbacks | None = None) -> None:
        super().__init__(config, kit, previous)
        for kind in KIND.values:
            kit.signals.account.cell(USES, kind)

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        try:
            response = await call(request)
        except self.config.on_exception as error:
            served = await self._served(Outcome(request, None, error, len(Call.of(request).attempts)), io)
            if served is None:
                raise
            return served
        if response.status_code not in self.config.on_status:
            return response
        return await self._replaced(response, request, io)

    async def _replaced(self, response: httpx.Response, request: httpx.Request, io: Runtime) -> httpx.Response:
        """What is served in place of a response, which is then closed; the response itself if nothing is."""
        call = Call.of(request)
        try:
            served = await self._served(Outcome(request, response, None, len(call.attempts)), io)
        except BaseException:
            await io.close(response)
            raise
        if served is None:
            return response
        await io.drain(response, DRAIN_LIMIT, min(call.remaining(self.kit.clock()), DRAIN_TIME))
        return served

    async def _served(self, outcome: Outcome, io: Runtime) -> httpx.Response | None:
        if not applies(self.config, outcome):
            return None
        kind, served = "function", await self._made(outcome, io)
        if served is None and self.config.response is not None:
            kind, served = "response", self.config.response.made()
        if served is not None:
            call = Call.of(outcome.request)
            call.outcome = "fallback"
            self.kit.signals.emit(Applied(why(outcome), kind, outcome.name, served.status_code), call)
        return served

    async def _made(self, outcome: Outcome, io: Runtime) -> httpx.Response | None:
        """What the function makes; None if it declines, also by giving back the response that it was shown."""
        if self.config.function is None:
            return None
        made = await io.invoke(self.config.function, outcome.request, outcome)
        if isinstance(made, FallbackResponse):
            return made.made()
        if made is None or made is outcome.response:
            return None
        if isinstance(made, httpx.Response):
            return made
        raise TypeError(
            f"the fallback function returned {type(made).__name__}: return an httpx.Response, or None to decline"
        )
