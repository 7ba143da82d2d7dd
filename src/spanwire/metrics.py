"""The metrics and attributes of calls and attempts themselves; those of a policy stand in its `decisions.py`."""

from __future__ import annotations

from .call import OUTCOMES, PHASES
from .decisions import ROUTE, SECONDS, Attribute, Metric, counter, histogram, updown

METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
OTHER_METHOD = "_OTHER"

METHOD = Attribute(
    "http.request.method",
    "The request's method, `_OTHER` if it is not a known one.",
    values=(*METHODS, OTHER_METHOD),
    stability="stable",
)
ADDRESS = Attribute("server.address", "The origin's host.", limit=32, stability="stable", example="billing.internal")
PORT = Attribute("server.port", "The origin's port.", limit=32, stability="stable", example=443)
STATUS = Attribute("http.response.status_code", "The answer's status.", limit=64, stability="stable", example=200)
ERROR_TYPE = Attribute(
    "error.type",
    "The status of a failed answer, or the class of the error.",
    limit=32,
    stability="stable",
    example="httpx.ReadTimeout",
)
PROTOCOL = Attribute(
    "network.protocol.version", "The HTTP version of the answer.", values=("1.0", "1.1", "2", "3"), stability="stable"
)
OUTCOME = Attribute("spanwire.outcome", "How the call ended for its caller.", values=OUTCOMES)
ATTEMPTS = Attribute("spanwire.attempts", "How many requests went out for one call.", values=("0", "1", "2", "3", "4+"))
PHASE = Attribute(
    "spanwire.phase", "A piece of the call's time line; pieces never overlap and add up to the whole.", values=PHASES
)
SHARE = Attribute(
    "spanwire.deadline.share",
    "The share of its total time that a call used, in percent.",
    values=("<50", "<80", "<100", "exceeded"),
)
CONNECTION_STATE = Attribute(
    "http.connection.state", "Whether a connection of the pool carries a request.", values=("active", "idle")
)
POLICY_HASH = Attribute("spanwire.policy.hash", "A digest of the policy in force.", limit=8, example="9f2c41d0")
LIMIT = Attribute(
    "spanwire.limit", "The name of a limit of the policy.", limit=64, example="circuit_breaker.failure_ratio"
)

REQUEST_DURATION: Metric = histogram(
    "http.client.request.duration", "Duration of an attempt, failed ones too, until its response headers.",
    METHOD, ADDRESS, PORT, STATUS, ERROR_TYPE, PROTOCOL, ROUTE, stability="stable",
)  # fmt: skip
CALL_DURATION = histogram(
    "spanwire.call.duration", "Duration of a logical call, waits and body included.", METHOD, ROUTE, OUTCOME, ERROR_TYPE
)
POOL_WAIT = histogram(
    "spanwire.pool.wait.duration", "Time that attempts waited for a connection of the pool, where they did."
)
CONNECT = histogram("spanwire.connect.duration", "Time to connect, TLS included, for each new connection.")

CALL_ATTEMPTS = counter(
    "spanwire.call.attempts",
    "{call}",
    "Calls by the number of requests they took and their outcome.",
    ATTEMPTS,
    OUTCOME,
)
PHASE_TIME = counter("spanwire.call.phase.time", "s", "The time of all calls, cut into exclusive phases.", PHASE)
DEADLINE_USED = counter(
    "spanwire.deadline.used", "{call}", "Calls by the share of their total time that they used.", SHARE
)
ATTEMPT_COUNT = counter(
    "spanwire.attempts", "{attempt}", "Requests on the wire by kind; amplification is (retry + hedge) / primary.",
    Attribute(
        "spanwire.attempt.kind", "Why the request was sent.",
        values=("primary", "retry", "hedge", "redirect", "auth", "probe", "revalidation"),
    ),
)  # fmt: skip
CALL_ACTIVE = updown("spanwire.call.active", "{call}", "Calls under way.")
POOL_CONNECTIONS = updown("spanwire.pool.connections", "{connection}", "Connections of the pool.", CONNECTION_STATE)
POLICY_INFO = updown("spanwire.policy.info", "1", "The policy in force.", POLICY_HASH)
POLICY_LIMIT = updown(
    "spanwire.policy.limit", "1", "The limits of the policy in force, for panels and rules to compare with.", LIMIT
)

POOL_WAIT_FLOOR = 0.001
"""Shorter waits for a connection are not recorded: every request has one of some microseconds."""

__all__ = [name for name in dir() if name.isupper()] + ["SECONDS"]
