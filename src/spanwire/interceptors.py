"""User code around calls and attempts: interceptors, and full middleware.

An interceptor is an object with any of `on_request(request, context)`, `on_response(response, context)` and
`on_error(error, context)`, plain or `async`. Returning None leaves things as they are; `on_request` may return another
request, `on_response` another response, `on_error` a response that takes the error's place. Middleware is one
`async def middleware(request, call, io)`. Either runs around the call, outside of its policies (`around="call"`, the
default; a redirect and an answer to a challenge pass it again), or around each attempt (`around="attempt"`); the
attribute `around` on the object says so too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import httpx

from .call import Call
from .errors import ConfigurationError
from .redact import redacted
from .runtime.protocol import Next, Runtime

Around = Literal["call", "attempt"]
_HOOKS = ("on_request", "on_response", "on_error")
DRAIN_LIMIT = 64 * 1024
DRAIN_TIME = 1.0
"""Bytes and seconds that reading an answer which was replaced, to keep its connection, may take."""


class Context:
    """What an interceptor gets to know besides the request: `attempt` is 0 around a call, else the attempt's number."""

    __slots__ = ("attempt", "client", "elapsed", "endpoint", "request", "route")

    def __init__(self, request: httpx.Request, attempt: int) -> None:
        call = Call.of(request)
        self.request = request
        self.client = call.client
        self.route = call.route
        self.attempt = attempt
        self.endpoint: str | None = None
        self.elapsed = 0.0
        """Seconds since the call or attempt began, at the response or error."""

    def __repr__(self) -> str:
        return f"<Context {self.client} {self.request.method} {redacted(self.request.url)} attempt {self.attempt}>"


class Interceptors:
    """The interceptors and middleware of one client, in order; the first is the outermost."""

    def __init__(self, given: Iterable[Any] = (), changed: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._changed = changed
        self._kept: list[tuple[Any, Around, Any]] = []
        for one in given:
            self._keep(one, None)

    def add(self, interceptor: Any, *, around: Around | None = None) -> None:
        """Add an interceptor or a middleware; it takes part from the next call on.

        Raises:
            ConfigurationError: if it has no hook and is not a middleware, or `around` is neither "call" nor "attempt".
        """
        self._keep(interceptor, around)
        self._changed()

    def remove(self, interceptor: Any) -> None:
        """Remove one that was added; ValueError if it was not."""
        with self._lock:
            found = [item for item in self._kept if item[0] is interceptor or item[0] == interceptor]  # a bound method
            if not found:
                raise ValueError(f"this {type(interceptor).__name__} is not among the client's interceptors")
            self._kept.remove(found[0])
        self._changed()

    def around(self, what: Around) -> tuple[Any, ...]:
        """Those around the call, or around the attempt, as middleware."""
        return tuple(layer for _, around, layer in self._kept if around == what)

    def renew(self) -> None:
        """In a forked child: whoever held the lock may not be here."""
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Any]:
        return iter([one for one, _, _ in self._kept])

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<Interceptors {[f'{type(one).__name__} around the {around}' for one, around, _ in self._kept]}>"

    def _keep(self, one: Any, around: Around | None) -> None:
        where = around or getattr(one, "around", "call")
        if where not in ("call", "attempt"):
            raise ConfigurationError(
                f"interceptor: `around` = {where!r} is impossible: it should be 'call' or 'attempt'"
            )
        if isinstance(one, type):
            name = one.__name__
            raise ConfigurationError(f"`interceptors` has the class {name}: give an instance, {name}(...)")
        if any(callable(getattr(one, hook, None)) for hook in _HOOKS):
            layer: Any = _Intercepting(one, where)
        elif callable(one):
            layer = _Guarded(one)
        else:
            raise ConfigurationError(
                f"`interceptors` has a {type(one).__name__}, which is neither an interceptor nor a middleware: give it "
                f"one of {', '.join(_HOOKS)}, or make it `async def middleware(request, call, io)`"
            )
        with self._lock:
            self._kept.append((one, where, layer))


class _Intercepting:
    """An interceptor as middleware."""

    def __init__(self, interceptor: Any, around: Around) -> None:
        self._around = around
        self._on_request, self._on_response, self._on_error = (getattr(interceptor, hook, None) for hook in _HOOKS)

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        this = Call.of(request)
        context = Context(request, len(this.attempts) + 1 if self._around == "attempt" else 0)
        if self._on_request is not None:
            request = self._moved(request, await io.invoke(self._on_request, request, context))
        began = this.clock()
        try:
            response = await call(request)
        except Exception as error:
            context.elapsed = this.clock() - began
            return await self._error(error, context, io)
        context.elapsed = this.clock() - began
        return await self._answered(response, context, io)

    @staticmethod
    def _moved(request: httpx.Request, returned: httpx.Request | None) -> httpx.Request:
        """The request to go on with; another one goes on as part of the same call."""
        if returned is None or returned is request:
            return request
        for key, value in request.extensions.items():
            returned.extensions.setdefault(key, value)
        return returned

    async def _error(self, error: Exception, context: Context, io: Runtime) -> httpx.Response:
        answer = await io.invoke(self._on_error, error, context) if self._on_error is not None else None
        if answer is None:
            raise error
        found: httpx.Response = answer
        return found

    async def _answered(self, response: httpx.Response, context: Context, io: Runtime) -> httpx.Response:
        if self._on_response is None:
            return response
        try:
            answer: httpx.Response | None = await io.invoke(self._on_response, response, context)
        except BaseException:
            await io.close(response)
            raise
        if answer is None:
            return response
        await _let_go([response], answer, io)
        return answer


class _Guarded:
    """A middleware. What it was answered and does not give back is closed here, else its connection would be lost."""

    def __init__(self, middleware: Callable[..., Any]) -> None:
        self._middleware = middleware

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def noted(request: httpx.Request) -> httpx.Response:
            response = await call(request)
            answers.append(response)
            return response

        try:
            given: httpx.Response = await self._middleware(request, noted, io)
        except BaseException:
            for response in answers:
                await io.close(response)
            raise
        await _let_go(answers, given, io)
        return given


async def _let_go(answers: list[httpx.Response], given: httpx.Response, io: Runtime) -> None:
    """Read and close the answers in whose place another is given, unless that one still reads from them."""
    if given.is_closed or given in answers:
        for response in answers:
            if response is not given:
                await io.drain(response, DRAIN_LIMIT, DRAIN_TIME)


class LoggingInterceptor:
    """Writes one line per call, or per attempt, to a std logger, with the facts also as `extra` for structured logging.

    Args:
        logger: the logger, by default `spanwire.http`.
        level: the level of successes; answers of 500 or more are a WARNING and errors an ERROR.
        around: "call" (default) or "attempt".

    URLs are redacted; headers and bodies are never written.
    """

    def __init__(
        self, logger: logging.Logger | str = "spanwire.http", level: int = logging.INFO, around: Around = "call"
    ) -> None:
        self.around = around
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def on_response(self, response: httpx.Response, context: Context) -> None:
        level = logging.WARNING if response.status_code >= 500 else self._level
        self._write(level, context, str(response.status_code), status=response.status_code)

    def on_error(self, error: Exception, context: Context) -> None:
        self._write(logging.ERROR, context, type(error).__name__, error=type(error).__name__)

    def _write(self, level: int, context: Context, ended: str, **more: Any) -> None:
        url = redacted(context.request.url)
        facts = {
            "client": context.client,
            "method": context.request.method,
            "url": url,
            "elapsed": context.elapsed,
            "attempt": context.attempt,
            **more,
        }
        number = f" attempt {context.attempt}" if context.attempt else ""
        self._logger.log(
            level,
            "%s %s%s -> %s in %.3f s",
            context.request.method,
            url,
            number,
            ended,
            context.elapsed,
            extra={"spanwire": facts},
        )
