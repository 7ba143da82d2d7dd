"""The stable HTTP conventions, as far as an attempt's span and metric go."""

from __future__ import annotations

import os
from typing import Any

import httpx

from ..call import Attempt, Call
from ..ledger import Account
from ..metrics import ADDRESS, ERROR_TYPE, METHOD, METHODS, OTHER_METHOD, PORT, PROTOCOL, STATUS
from ..decisions import CLIENT, ROUTE
from ..redact import redacted
from ..target import Target, target_of

Attributes = dict[str, Any]
KNOWN_METHODS = frozenset(filter(None, os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "").split(","))) or frozenset(METHODS)
VERSIONS = {b"HTTP/1.0": "1.0", b"HTTP/1.1": "1.1", b"HTTP/2": "2", b"HTTP/3": "3"}
_MOST = 1024


def method_of(method: str) -> str:
    """The method as telemetry names it: `_OTHER` if it is not known."""
    return method if method in KNOWN_METHODS else OTHER_METHOD


def span_name(method: str, route: str | None) -> str:
    """`GET /invoices/{id}`, or `GET`; `HTTP` for an unknown method."""
    shown = method if method in KNOWN_METHODS else "HTTP"
    return f"{shown} {route}" if route else shown


def started(call: Call, attempt: Attempt, request: httpx.Request) -> Attributes:
    """What is known when an attempt starts: samplers see only this."""
    target = target_of(request.url)
    method = request.method
    found: Attributes = {
        METHOD.key: method if method in KNOWN_METHODS else OTHER_METHOD,
        ADDRESS.key: target.host,
        PORT.key: target.port,
        "url.full": redacted(request.url),
        "spanwire.attempt.kind": attempt.kind,
        CLIENT.key: call.client,
    }
    if method not in KNOWN_METHODS:
        found["http.request.method_original"] = method
    if attempt.number > 1:
        found["http.request.resend_count"] = attempt.number - 1
    if call.route is not None:
        found[ROUTE.key] = call.route
    if attempt.endpoint is not None:
        found["spanwire.endpoint"] = attempt.endpoint
    return found


def ended(call: Call, attempt: Attempt) -> Attributes:
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
        found["spanwire.notable"] = True
    return found


class DurationAttributes:
    """The attribute sets of `http.client.request.duration`, each made once: making one costs as much as the record."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[tuple[Any, ...], Attributes] = {}

    def of(self, call: Call, attempt: Attempt, request: httpx.Request) -> Attributes:
        key = (request.method, target_of(request.url), attempt.status, attempt.error, attempt.protocol, call.route)
        return self._known.get(key) or self._make(key, call)

    def _make(self, key: tuple[Any, ...], call: Call) -> Attributes:
        method, target, status, error, protocol, route = key
        found: Attributes = {CLIENT.key: call.client, METHOD.key: method_of(method), **self._server(target)}
        if status is not None:
            found[STATUS.key] = status
        if error is not None or (status or 0) >= 400:
            found[ERROR_TYPE.key] = self._account.bounded(ERROR_TYPE, error or str(status))
        if protocol in VERSIONS:
            found[PROTOCOL.key] = VERSIONS[protocol]
        if route is not None:
            found[ROUTE.key] = self._account.bounded(ROUTE, route)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = found
        return found

    def _server(self, target: Target) -> Attributes:
        """Host and port, folded together: a client that is sent to many hosts keeps a bounded number of series."""
        kept = self._account.bounded(ADDRESS, f"{target.host}:{target.port}")
        return {ADDRESS.key: target.host, PORT.key: target.port} if kept != "_other" else {ADDRESS.key: kept, PORT.key: 0}
