"""The engine of one client: its policy, its account and its signals, and the life of each of its calls.

A client or transport owns one engine; an engine knows nothing of its owner, so nothing keeps a dropped client alive.
"""

from __future__ import annotations

import contextlib
import random as _random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import httpx

from . import metrics
from .body import Body
from .call import AUTH, CALL, CORRELATION, KIND, OVERRIDE, Call
from .checks import check, header, listed
from .errors import ConfigurationError, Rejected
from .interceptors import Interceptors
from .kit import Kit
from .ledger import Account, Observation
from .loading import Watch
from .override import Override
from .pipeline import Pipeline, error_type
from .policies import Policy
from .policies.decisions import ConfigLoaded, ConfigRejected
from .policies.timeout.policy import PHASE_TIMEOUTS
from .report import REPORT, Report
from .runtime.protocol import Handle, Next, Runtime
from .signals import Listener, Signals
from .telemetry import Providers, Telemetry
from .wire.fork import renew_after_fork


class EngineArguments(TypedDict, total=False):
    """What every client and transport of ours accepts.

    Args:
        interceptors: interceptors and middleware, the first outermost.
        middleware: `async def middleware(request, call, io)`s, outside the interceptors.
        listeners: what hears of calls and decisions.
        tracer_provider, meter_provider, logger_provider: OpenTelemetry providers; by default the global ones.
        attempt_spans: "own" (default): one CLIENT span per attempt by spanwire. "instrumentation": by
            opentelemetry-instrumentation-httpx, for services that rely on its hooks.
        correlation_header: a header that carries the trace id to the origin, such as `X-Trace-ID`; where nobody traces,
            a random id of the call. Default None: off. One that the caller gives is left alone.
        clock: seconds that only grow, default `time.monotonic`; for tests.
        random: the `random.Random` behind jitter; for tests.
    """

    interceptors: Iterable[Any]
    middleware: Iterable[Any]
    listeners: Iterable[Listener]
    tracer_provider: Any
    meter_provider: Any
    logger_provider: Any
    attempt_spans: str
    correlation_header: str | None
    clock: Callable[[], float] | None
    random: _random.Random | None


class Engine:
    """What the clients and transports of both colours share."""

    def __init__(
        self,
        policy: Policy | Watch[Policy] | None = None,
        *,
        name: str = "default",
        interceptors: Iterable[Any] = (),
        middleware: Iterable[Any] = (),
        listeners: Iterable[Listener] = (),
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        attempt_spans: str = "own",
        correlation_header: str | None = None,
        clock: Callable[[], float] | None = None,
        random: _random.Random | None = None,
    ) -> None:
        providers = Providers(tracer_provider, meter_provider, logger_provider)
        interceptors = [*listed("middleware", middleware), *listed("interceptors", interceptors)]
        listeners = listed("listeners", listeners)
        check(name, listeners, clock, random, **{f"{kind}_provider": one for kind, one in providers._asdict().items()})
        self.watch = policy if isinstance(policy, Watch) else None
        self.policy = _checked(policy.policy if isinstance(policy, Watch) else policy)
        self.name = name
        self._correlation = header(correlation_header)
        self.account = Account(name)
        self.telemetry = Telemetry(self.account, providers, attempt_spans)
        self.signals = Signals(self.account, (self.telemetry, *listeners), clock or time.monotonic)
        self.kit = Kit(name, clock or time.monotonic, time.time, random or _random.Random(), self.signals)
        self.interceptors = Interceptors(interceptors, weakly(self._compose))
        self.pools: list[Callable[[], tuple[int, int]]] = []
        self.used = False
        self.first: Callable[[], object] = tuple
        """Called before the first call."""
        self.reloaded: Callable[[], object] = tuple
        """Called after another policy was put in force."""
        self._watching: Handle | None = None
        self._taken: tuple[Policy, ConfigurationError | None] = (self.policy, None)
        """What was last taken from the watched file. Others may share the watch, and be told of a change first."""
        self._lock = threading.Lock()
        self._swap(Pipeline(self.policy, self.kit), self.policy)
        self.account.observe = weakly(self._observe)
        # Whoever can count holds the signals: bodies that are still being read count after the client is closed.
        weakref.finalize(self.signals, self.telemetry.book.close, self.account).atexit = False
        renew_after_fork(self)

    def begin(self) -> None:
        """Its owner is complete: from now on its numbers are told."""
        self.telemetry.book.open(self.account)

    # -- the policy in force ---------------------------------------------------------------------------------------

    def _swap(self, pipeline: Pipeline, policy: Policy) -> None:
        self.pipeline, self.policy = pipeline, policy
        self.hash = policy.hash
        self.total = policy.timeout.total if policy.timeout else None
        self._limits = tuple(policy.limits().items())
        self.account.observed = frozenset(
            {
                *pipeline.observed,
                metrics.CALL_ACTIVE,
                metrics.POOL_CONNECTIONS,
                metrics.POLICY_INFO,
                metrics.POLICY_LIMIT,
            }
        )
        self._compose()

    def _compose(self) -> None:
        """From the next call on, chains are made anew."""
        self.generation = object()

    def reload(self, policy: Policy) -> None:
        """Put another policy in force; calls under way end under the old one.

        Raises:
            ConfigurationError: if it is no policy, or its `connection` differs: a pool in use cannot be changed.
        """
        policy = _checked(policy, default=False)
        with self._lock:
            if policy.connection != self.policy.connection:
                raise ConfigurationError(
                    "`connection` cannot be reloaded, since the pool is in use: make a new client for it"
                )
            changed = policy.changed_from(self.policy)
            self._swap(Pipeline(policy, self.kit, self.pipeline), policy)
        self.reloaded()
        self.signals.emit(ConfigLoaded(policy.hash, changed))

    def chain(self, io: Runtime) -> Next:
        """The chain of the policy in force, for one transport's runtime."""
        return self.pipeline.chain(io, self.interceptors.around("call"), self.interceptors.around("attempt"))

    def overridden(self, parts: Mapping[str, Any], io: Runtime) -> Next:
        """The chain that one call asks for."""
        with self._lock:
            pipeline = self.pipeline.variant(parts)
        return pipeline.chain(io, self.interceptors.around("call"), self.interceptors.around("attempt"))

    def keep_watch(self, io: Runtime) -> None:
        """See to it that a watched policy file is being watched."""
        with self._lock:
            if self._watching is None or not self._watching.running:
                self._watching = io.spawn(_Watching(weakref.ref(self), io).run, "policy-watch")
                weakref.finalize(self, self._watching.cancel).atexit = False

    def look(self, watch: Watch[Policy]) -> None:
        """Put in force what the watched file says now, if it changed; an impossible one is told and changes nothing."""
        watch.poll()
        before, self._taken = self._taken, (watch.policy, watch.error)
        policy, error = self._taken
        try:
            if policy is not before[0]:
                self.reload(policy)
            if error is not None and error is not before[1]:
                raise error
        except ConfigurationError as problem:
            self.signals.emit(ConfigRejected(self.hash, str(problem)))

    # -- the life of a call ----------------------------------------------------------------------------------------

    def open(self, request: httpx.Request, opener: int = 0) -> tuple[Call, httpx.Request]:
        """A logical call begins with this request, or with a copy of it if the request itself is under way already."""
        if not self.used:
            self.used = True
            self.first()
        call = Call(request, self.kit.clock, self.name, self.hash, self.total)
        extensions = request.extensions
        if opener:
            call.opener = opener
        if extensions.setdefault(CALL, call) is not call:
            with self._lock:  # several threads may send it again at once
                under_way = extensions[CALL].ended is None
                if not under_way:
                    extensions[CALL] = call
                    if PHASE_TIMEOUTS in extensions:  # the last attempt's were cut shorter
                        extensions["timeout"] = extensions.pop(PHASE_TIMEOUTS)
            if under_way:
                request = _copy(request)
                extensions = request.extensions
                extensions[CALL] = call
        override = extensions.get(OVERRIDE)
        if override is not None:
            self._apply(call, override)
        self.signals.open(call)
        name = self._correlation
        if name is not None and request.headers.get(name) == extensions.get(CORRELATION):  # not the caller's own
            extensions[CORRELATION] = f"{call.trace_id or self.kit.random.getrandbits(128):032x}"
            request.headers[name] = extensions[CORRELATION]
        return call, request

    def _apply(self, call: Call, override: Override) -> None:
        call.route, call.idempotent, call.override = (
            override.route,
            override.idempotent,
            override.parts or None,
        )
        if "timeout" in override.parts:
            timeout = override.parts["timeout"]
            call.total = timeout.total if timeout else None
            call.deadline = None if call.total is None else call.started + call.total

    def enter(self, request: httpx.Request) -> tuple[Call, httpx.Request, bool]:
        """A request arrives at a transport: the call it belongs to, what to send, and whether the call begins with it.

        A call that a bare transport of ours opened is that of one request: the same request, sent again meanwhile, is
        another call.
        """
        call: Call | None = request.extensions.get(CALL)
        if call is None or call.ended is not None or call.opener == id(self):
            call, request = self.open(request, id(self))
            request.extensions[KIND] = "primary"
            call.sent = (id(request),)
            return call, request, True
        if AUTH in request.extensions:
            request.extensions[KIND] = "auth"
        else:
            sent, this = call.sent, id(request)
            request.extensions[KIND] = "primary" if not sent else "auth" if this in sent else "redirect"
            call.sent = (*sent, this)
        if call.attempts:
            call.mark("other", self.kit.clock())
        return call, request, False

    def arrived(self, call: Call, response: httpx.Response, io: Runtime, owned: bool) -> httpx.Response:
        """A response leaves a transport: its body keeps the deadline and, for a bare transport, ends the call."""
        response.extensions[REPORT] = Report(call)
        if response.is_closed:
            if owned:
                self.succeeded(call, response)
            return response
        call.body = response.stream = Body(response.stream, call, self.kit, io, _body_ended)
        call.mark("body", self.kit.clock())
        if owned:
            call.judge(response.status_code)
            call.streamed = True
        return response

    def streaming(self, call: Call, response: httpx.Response) -> None:
        """The caller will read the body: its end is the end of the call."""
        call.judge(response.status_code)
        call.streamed = True
        if response.is_closed:
            self.signals.close(call)

    def succeeded(self, call: Call, response: httpx.Response) -> None:
        """The call ended with a response whose body is read."""
        if call.outcome is None:
            if response.status_code < 400:
                call.outcome = "success"
            else:
                call.judge(response.status_code)
        self.signals.close(call)

    def failed(self, call: Call, error: BaseException) -> None:
        """The call ended with an error, or was cancelled."""
        _failed(self.signals, call, error)

    # -- figures ---------------------------------------------------------------------------------------------------

    def _observe(self) -> Iterable[Observation]:
        yield Observation(metrics.CALL_ACTIVE, max(0, self.signals.active.value))  # a child may end its parent's calls
        yield Observation(metrics.POLICY_INFO, 1, (self.hash,))
        for name, value in self._limits:
            yield Observation(metrics.POLICY_LIMIT, value, (name,))
        pools = [pool() for pool in self.pools]
        yield Observation(metrics.POOL_CONNECTIONS, sum(active for active, _ in pools), ("active",))
        yield Observation(metrics.POOL_CONNECTIONS, sum(idle for _, idle in pools), ("idle",))
        yield from self.pipeline.observe()

    def close(self) -> None:
        """The client ended; calls whose bodies are still being read go on to count."""
        if self._watching is not None:
            self._watching.cancel()
        self.account.rest()
        self.pools.clear()

    def renew(self) -> None:
        """In a forked child: the parent's other threads are not here, neither with their calls nor to free a lock."""
        self._lock = threading.Lock()
        self.interceptors.renew()
        self.signals.active.value = 0

    def __repr__(self) -> str:
        return f"<Engine {self.name!r} policy {self.hash}>"


def _failed(signals: Signals, call: Call, error: BaseException) -> None:
    if call.ended is None:
        if not isinstance(error, Exception):
            call.outcome = "cancelled"
        else:
            call.outcome = "rejected" if isinstance(error, Rejected) else "failure"
            call.error = error_type(error)
        signals.close(call)
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):  # an error that cannot be written on comes through as it is
            error.report = Report(call)  # type: ignore[attr-defined]


def _body_ended(body: Body, error: BaseException | None) -> None:
    """A body holds the signals and no engine: it may be read when its client is gone."""
    call, signals = body._call, body._kit.signals
    if call.streamed and call.body is body:
        if error is None:
            signals.close(call)
        else:
            _failed(signals, call, error)


def weakly(method: Callable[[], Any]) -> Callable[[], Any]:
    """A method for as long as its object lives, and nothing afterwards: who holds it does not hold the object."""
    known = weakref.WeakMethod(method)

    def called() -> Any:
        found = known()
        return () if found is None else found()

    return called


_KEPT = (OVERRIDE, CORRELATION)
"""What a copy of a request takes over of what spanwire knows of it."""


def _copy(request: httpx.Request) -> httpx.Request:
    """The same request once more, without what is known of the call that it is under way in."""
    known = request.extensions.copy()  # another thread may be writing there
    extensions = {key: value for key, value in known.items() if not key.startswith("spanwire.") or key in _KEPT}
    if PHASE_TIMEOUTS in known:
        extensions["timeout"] = known[PHASE_TIMEOUTS]
    copy = httpx.Request(
        request.method, request.url, headers=request.headers, stream=request.stream, extensions=extensions
    )
    if isinstance(request.stream, httpx.ByteStream):
        copy.read()
    return copy


def _checked(policy: Policy | None, default: bool = True) -> Policy:
    if policy is None and default:
        return Policy()
    if not isinstance(policy, Policy):
        raise ConfigurationError(
            f"`policy` = {type(policy).__name__} is impossible: give a spanwire.Policy, or Policy.watch(path)"
        )
    return policy


class _Watching:
    """The background look at a policy file; it holds the engine weakly, and ends with it."""

    def __init__(self, engine: weakref.ref[Engine], io: Runtime) -> None:
        self._engine, self._io = engine, io

    async def run(self) -> None:
        while (engine := self._engine()) is not None and (watch := engine.watch) is not None:
            engine.look(watch)
            del engine
            await self._io.sleep(watch.interval)
