"""The stable HTTP conventions, as far as an attempt's span and metric go.

Attribute sets that come again are made once: making one costs as much as the SDK's work on it.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import httpx

from ..call import AUTH, Attempt, Call
from ..decisions import CLIENT, ROUTE
from ..ledger import OTHER, Account
from ..metrics import ADDRESS, ERROR_TYPE, METHOD, METHODS, OTHER_METHOD, OUTCOME, PORT, PROTOCOL, STATUS
from ..redact import redacted
from ..target import Target, target_of

T = TypeVar("T")
Attributes = dict[str, Any]
KNOWN_METHODS = frozenset(
    filter(None, os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "").split(","))
) or frozenset(METHODS)
VERSIONS = {b"HTTP/1.0": "1.0", b"HTTP/1.1": "1.1", b"HTTP/2": "2", b"HTTP/3": "3"}
MOST = 1024
"""Attribute sets of one kind that are kept; beyond that all are made anew."""
NOTABLE = "spanwire.notable"


class Sets:
    """Attribute sets by what they are made of."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}
        self.get = self._kept.get

    def keep(self, key: Any, made: T) -> T:
        """Keep what was made for a key."""
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = made
        return made


def method_of(method: str) -> str:
    """The method as telemetry names it: `_OTHER` if it is not known."""
    return method if method in KNOWN_METHODS else OTHER_METHOD


def span_name(method: str, route: str | None) -> str:
    """`GET /invoices/{id}`, or `GET`; `HTTP` for an unknown method."""
    shown = method if method in KNOWN_METHODS else "HTTP"
    return f"{shown} {route}" if route else shown


class Conventions:
    """The names and attributes of one client's calls and attempts."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._calls, self._outcomes, self._starts, self._ends, self._durations = Sets(), Sets(), Sets(), Sets(), Sets()

    # -- spans -----------------------------------------------------------------------------------------------------

    def call_start(self, call: Call) -> tuple[str, Attributes]:
        """The name of a call's span, and what samplers see of it."""
        key = (call.method, call.target.origin, call.route, call.policy_hash)
        found: tuple[str, Attributes] | None = self._calls.get(key)
        return found or self._calls.keep(key, self._call_start(call))

    @staticmethod
    def _call_start(call: Call) -> tuple[str, Attributes]:
        found: Attributes = {
            METHOD.key: method_of(call.method),
            ADDRESS.key: call.target.host,
            PORT.key: call.target.port,
            CLIENT.key: call.client,
            "spanwire.policy.hash": call.policy_hash,
        }
        if call.route is not None:
            found[ROUTE.key] = call.route
        return f"call {span_name(call.method, call.route)}", found

    @staticmethod
    def call_end(call: Call, outcome: str) -> Attributes:
        """What is known when a call has ended."""
        found: Attributes = {OUTCOME.key: outcome}
        if len(call.attempts) != 1:
            found["spanwire.call.attempts"] = len(call.attempts)
        if call.notable:
            found[NOTABLE] = True
        if call.error is not None:
            found[ERROR_TYPE.key] = call.error
        return found

    def attempt_start(self, call: Call, attempt: Attempt, request: httpx.Request) -> tuple[str, Attributes]:
        """The name of an attempt's span, and what samplers see of it: of an unsampled call's, all but the URL."""
        target = call.target if request.url is call.url else target_of(request.url)
        resent = 0 if attempt.number == 1 and attempt.kind == "primary" else _resent(call, attempt, request)
        key = (request.method, target.origin, call.route, attempt.kind, attempt.endpoint, resent)
        name, fixed = self._starts.get(key) or self._starts.keep(
            key, _attempt_start(request.method, target, call.route, attempt, resent)
        )
        return name, {**fixed, "url.full": redacted(request.url, target.origin)} if call.recorded else fixed

    @staticmethod
    def attempt_end(call: Call, attempt: Attempt) -> Attributes:
        """What is known when an attempt has ended."""
        found: Attributes = {}
        if attempt.status is not None:
            found[STATUS.key] = attempt.status
            if attempt.status >= 400:
                found[ERROR_TYPE.key] = str(attempt.status)
        elif attempt.error is not None:
            found[ERROR_TYPE.key] = attempt.error
        if attempt.protocol in VERSIONS:
            found[PROTOCOL.key] = VERSIONS[attempt.protocol]
        if attempt.peer is not None:
            found["network.peer.address"], found["network.peer.port"] = attempt.peer
        if attempt.pool_wait >= 0.001:
            found["spanwire.pool.wait"] = attempt.pool_wait
        if attempt.connect is not None:
            found["spanwire.connect.time"] = attempt.connect
        if call.notable:
            found[NOTABLE] = True
        return found

    # -- metrics ---------------------------------------------------------------------------------------------------

    def call_duration(self, call: Call, outcome: str) -> Attributes:
        """The attributes of `spanwire.call.duration`."""
        key = (call.method, call.route, outcome, call.error)
        found: Attributes | None = self._outcomes.get(key)
        return found or self._outcomes.keep(key, self._call_duration(call, outcome))

    def _call_duration(self, call: Call, outcome: str) -> Attributes:
        found: Attributes = {CLIENT.key: self._account.label, METHOD.key: method_of(call.method), OUTCOME.key: outcome}
        if call.route is not None:
            found[ROUTE.key] = self._account.bounded(ROUTE, call.route)
        if call.error is not None:
            found[ERROR_TYPE.key] = self._account.bounded(ERROR_TYPE, call.error)
        return found

    def request_duration(self, call: Call, attempt: Attempt, request: httpx.Request) -> Attributes:
        """The attributes of `http.client.request.duration`."""
        target = call.target if request.url is call.url else target_of(request.url)
        key = (request.method, target.origin, attempt.status, attempt.error, attempt.protocol, call.route)
        found: Attributes | None = self._durations.get(key)
        return found or self._durations.keep(key, self._request_duration(target, key))

    def _request_duration(
        self, target: Target, key: tuple[str, str, int | None, str | None, bytes | None, str | None]
    ) -> Attributes:
        method, _, status, error, protocol, route = key
        found: Attributes = {CLIENT.key: self._account.label, METHOD.key: method_of(method), **self._server(target)}
        if status is not None:
            found[STATUS.key] = status
        if error is not None or (status or 0) >= 400:
            found[ERROR_TYPE.key] = self._account.bounded(ERROR_TYPE, error or str(status))
        if protocol in VERSIONS:
            found[PROTOCOL.key] = VERSIONS[protocol]
        if route is not None:
            found[ROUTE.key] = self._account.bounded(ROUTE, route)
        return found

    def _server(self, target: Target) -> Attributes:
        """Host and port, folded together: a client that is sent to many hosts keeps a bounded number of series."""
        kept = self._account.bounded(ADDRESS, f"{target.host}:{target.port}")
        return {ADDRESS.key: kept, PORT.key: 0} if kept == OTHER else {ADDRESS.key: target.host, PORT.key: target.port}


def _resent(call: Call, attempt: Attempt, request: httpx.Request) -> int:
    """How often the caller's request was sent before; what an auth flow sends for itself is no part of that."""
    earlier = call.attempts[: attempt.number - 1]
    attempt.aside = AUTH in request.extensions
    if attempt.aside and attempt.kind == "auth":
        return 0
    return sum(one.aside is attempt.aside for one in earlier)


def _attempt_start(
    method: str, target: Target, route: str | None, attempt: Attempt, resent: int
) -> tuple[str, Attributes]:
    found: Attributes = {
        METHOD.key: method_of(method),
        ADDRESS.key: target.host,
        PORT.key: target.port,
        "spanwire.attempt.kind": attempt.kind,
    }
    if method not in KNOWN_METHODS:
        found["http.request.method_original"] = method
    if resent:
        found["http.request.resend_count"] = resent
    if route is not None:
        found[ROUTE.key] = route
    if attempt.endpoint is not None:
        found["spanwire.endpoint"] = attempt.endpoint
    return span_name(method, route), found
