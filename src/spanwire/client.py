"""The clients: true subclasses of httpx's, with the pipeline around every transport that they use."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Unpack

import httpx

from .arguments import ClientArguments, HTTPXArguments, completed, name_of, parted, user_agent
from .authentication import CallAuth, sends_requests
from .call import OVERRIDE, Call
from .cookies import Cookies
from .engine import Engine, weakly
from .figures import figures
from .interceptors import Interceptors
from .loading import Watch
from .policies import Handles, Policy
from .redact import redacted, redacted_text
from .telemetry import InstrumentationWarning, is_instrumented
from .transport import AsyncTransport, Transport
from .wire import async_wire, sync_wire

_READ = httpx.ByteStream(b"")


def _is_read(response: httpx.Response) -> None:
    """Let go of a stream that is read.

    httpx's own refers to its response, which keeps the response, the call and its spans until the garbage collector
    finds them: with it, a sampled call costs a tenth more. httpx2's knows the response's time, and alone.
    """
    elapsed = getattr(response.stream, "elapsed", None)
    if elapsed is not None:
        response.elapsed = elapsed
    response.stream = _READ


class _Client(Handles):
    """What the two clients share; their colours differ in how they send and close."""

    _engine: Engine
    _given: HTTPXArguments

    def _set_up(
        self, policy: Policy | Watch[Policy] | None, name: str | None, arguments: ClientArguments
    ) -> dict[str, Any]:
        """Make the engine; the arguments for httpx's constructor come back."""
        ours, self._given = parted(arguments)
        self._engine = Engine(policy, name=name or name_of(self._given), **ours)
        self._raises_for_status = arguments.get("raise_for_status", False)
        self._engine.reloaded = weakly(self._retime)
        self._engine.first = weakly(self._warn_instrumented)
        ready = completed(self._given, self._engine.policy)
        ready["mounts"] = {
            pattern: None if wire is None else self._wrapped(wire)
            for pattern, wire in (ready.get("mounts") or {}).items()
        }
        return ready

    def _begin(self) -> None:
        """httpx's constructor is done, and so is the client."""
        self._cookies = Cookies(self._cookies.jar)
        user_agent(self._given, self.headers)
        self._engine.begin()

    def _wrapped(self, wire: Any) -> Any:
        raise NotImplementedError

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookies that the client sends and keeps."""
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._cookies = Cookies(cookies)

    def _pipeline_layers(self) -> Mapping[Any, Any]:
        return self._engine.pipeline.layers

    @property
    def name(self) -> str:
        """The client's name in telemetry."""
        return self._engine.name

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._engine.policy

    @property
    def interceptors(self) -> Interceptors:
        """The interceptors and middleware; `add` and `remove` work at run time."""
        return self._engine.interceptors

    def reload(self, policy: Policy) -> None:
        """Put another policy in force under load.

        Calls under way end under the old one; breakers and budgets whose settings did not change keep their state.

        Raises:
            ConfigurationError: if it is no policy, or its `connection` differs; the old policy stays in force.
        """
        self._engine.reload(policy)

    def _retime(self) -> None:
        """Give requests the phase timeouts of the policy in force, unless the caller gave others."""
        timeout = self.policy.timeout
        if "timeout" not in self._given:
            self.timeout = (
                httpx.Timeout(5.0) if timeout is None else httpx.Timeout(**timeout.phases())
            )  # httpx's default

    def metrics(self) -> dict[str, Any]:
        """The client's figures from its ledger: requests, retries, breakers, times.

        This needs no SDK, and the figures stay readable after closing.
        """
        return figures(self._engine.account)

    def _in_call(self, auth: Any, call: Call) -> Any:
        """The authentication, with the requests that it makes itself marked as part of the call."""
        chosen = self.auth if isinstance(auth, type(httpx.USE_CLIENT_DEFAULT)) else auth
        return CallAuth(chosen, call) if sends_requests(chosen) else auth

    def _check_status(self, request: httpx.Request, response: httpx.Response) -> None:
        override = request.extensions.get(OVERRIDE)
        asked = override.raise_for_status if override is not None else None
        if response.status_code >= 400 and (self._raises_for_status if asked is None else asked):
            _raise_for_status(response)

    def _warn_instrumented(self) -> None:
        if is_instrumented(self):
            warnings.warn(
                f"{self!r} was given to `instrument_client`, which makes a span around each request beside those that "
                'spanwire makes: leave it out, or use `attempt_spans="instrumentation"` and instrument() in its place',
                InstrumentationWarning,
                stacklevel=7,
            )

    def _warn_unclosed(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and engine.used and not self.is_closed:
            warnings.warn(
                f"{self!r} was dropped and not closed: use it in a `with` block or close it",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    def __repr__(self) -> str:
        return f"<spanwire.{type(self).__name__} {self.name!r} policy {self._engine.hash}>"

    is_closed: bool
    _cookies: httpx.Cookies
    auth: Any
    timeout: Any
    headers: httpx.Headers


def _raise_for_status(response: httpx.Response) -> None:
    """`response.raise_for_status()`, with a message that shows nothing secret of the URL."""
    try:
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        message = str(error)
        for url in filter(None, (str(error.request.url), response.headers.get("location"))):
            message = message.replace(url, redacted(url))
        raise httpx.HTTPStatusError(redacted_text(message), request=error.request, response=error.response) from None


class Client(_Client, httpx.Client):
    """An `httpx.Client` whose every call is resilient and tells what it decides.

    Args:
        name: the client's name in telemetry; by default the host of `base_url`, else `default`.
        policy: a `Policy` (default `Policy()`, safe to ship), or `Policy.watch(path)` for one that follows a file.
        interceptors: interceptors and middleware, the first outermost; more by `client.interceptors.add(...)`.
        listeners: `Listener`s that hear of calls and decisions.
        raise_for_status: whether an answer of 400 or more raises `httpx.HTTPStatusError`; default False, as in httpx.
        tracer_provider, meter_provider, logger_provider: OpenTelemetry providers; by default the global ones.
        attempt_spans: "own" (default): one CLIENT span per attempt by spanwire. "instrumentation": by
            opentelemetry-instrumentation-httpx, for services that rely on its hooks.
        correlation_header: a header that carries the trace id to the origin, such as `X-Trace-ID`. Default None: off.
        clock: seconds that only grow, default `time.monotonic`; for tests.
        random: the `random.Random` behind jitter and sampling; for tests.
        arguments: all of httpx's own, which win over the policy's `connection` and `timeout`.

    Raises:
        ConfigurationError: if the policy is impossible; nothing is half-applied.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        policy: Policy | Watch[Policy] | None = None,
        **arguments: Unpack[ClientArguments],
    ) -> None:
        super().__init__(**self._set_up(policy, name, arguments))
        self._begin()

    def _wrapped(self, wire: httpx.BaseTransport) -> Transport:
        return wire if isinstance(wire, Transport) else Transport.of(self._engine, wire)

    def _init_transport(self, *, transport: httpx.BaseTransport | None = None, **arguments: Any) -> httpx.BaseTransport:  # type: ignore[override]
        return self._wrapped(
            sync_wire(self._engine.policy.connection.wire, **arguments) if transport is None else transport
        )

    def _init_proxy_transport(self, proxy: httpx.Proxy, **arguments: Any) -> httpx.BaseTransport:  # type: ignore[override]
        return self._wrapped(sync_wire(self._engine.policy.connection.wire, proxy=proxy, **arguments))

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request: one logical call, through redirects and authentication."""
        engine = self._engine
        call, request = engine.open(request)
        if auth is not httpx.USE_CLIENT_DEFAULT or self.auth is not None:
            auth = self._in_call(auth, call)
        token = engine.telemetry.enter(call.scope) if call.scope is not None else None
        try:
            response = super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        except BaseException as error:
            engine.failed(call, error)
            raise
        finally:
            if token is not None:
                engine.telemetry.leave(token)
        if stream:
            engine.streaming(call, response)
        else:
            engine.succeeded(call, response)
            _is_read(response)
        if self._raises_for_status or OVERRIDE in request.extensions:
            try:
                self._check_status(request, response)
            except httpx.HTTPStatusError:
                response.close()  # whoever streams gets no response that could be closed
                raise
        return response

    def close(self) -> None:
        super().close()
        self._engine.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        self._engine.close()

    def __del__(self) -> None:
        self._warn_unclosed()


class AsyncClient(_Client, httpx.AsyncClient):
    """An `httpx.AsyncClient` whose every call is resilient and tells what it decides; on asyncio and trio.

    Arguments and errors as for `Client`.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        policy: Policy | Watch[Policy] | None = None,
        **arguments: Unpack[ClientArguments],
    ) -> None:
        super().__init__(**self._set_up(policy, name, arguments))
        self._begin()

    def _wrapped(self, wire: httpx.AsyncBaseTransport) -> AsyncTransport:
        return wire if isinstance(wire, AsyncTransport) else AsyncTransport.of(self._engine, wire)

    def _init_transport(  # type: ignore[override]
        self, *, transport: httpx.AsyncBaseTransport | None = None, **arguments: Any
    ) -> httpx.AsyncBaseTransport:
        return self._wrapped(
            async_wire(self._engine.policy.connection.wire, **arguments) if transport is None else transport
        )

    def _init_proxy_transport(self, proxy: httpx.Proxy, **arguments: Any) -> httpx.AsyncBaseTransport:  # type: ignore[override]
        return self._wrapped(async_wire(self._engine.policy.connection.wire, proxy=proxy, **arguments))

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request: one logical call, through redirects and authentication."""
        engine = self._engine
        call, request = engine.open(request)
        if auth is not httpx.USE_CLIENT_DEFAULT or self.auth is not None:
            auth = self._in_call(auth, call)
        token = engine.telemetry.enter(call.scope) if call.scope is not None else None
        try:
            response = await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        except BaseException as error:
            engine.failed(call, error)
            raise
        finally:
            if token is not None:
                engine.telemetry.leave(token)
        if stream:
            engine.streaming(call, response)
        else:
            engine.succeeded(call, response)
            _is_read(response)
        if self._raises_for_status or OVERRIDE in request.extensions:
            try:
                self._check_status(request, response)
            except httpx.HTTPStatusError:
                await response.aclose()
                raise
        return response

    async def aclose(self) -> None:
        await super().aclose()
        self._engine.close()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await super().__aexit__(exc_type, exc_value, traceback)
        self._engine.close()

    def __del__(self) -> None:
        self._warn_unclosed()
