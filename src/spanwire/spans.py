"""What stands on spans: the attributes of each kind of span, and those that nothing but a span has.

`telemetry/conventions.py` sets them. The reference is made from here, and a test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from .decisions import CLIENT, ROUTE, Attribute
from .metrics import (
    ADDRESS,
    ATTEMPT_COUNT,
    ERROR_TYPE,
    METHOD,
    OUTCOME,
    POLICY_HASH,
    PORT,
    PROTOCOL,
    STATUS,
)

# -- the call ------------------------------------------------------------------------------------------------------

REQUESTS = Attribute("spanwire.call.attempts", "How many requests went out for one call.", example=3)
NOTABLE = Attribute(
    "spanwire.notable",
    "True where tail sampling should keep the trace: a retry, a refusal, a change of state or a failure was in it.",
    example=True,
)
BASELINE = Attribute(
    "spanwire.baseline",
    "True for the tenth of the calls that tail sampling should keep for comparison, chosen by their trace id.",
    example=True,
)

# -- attempts ------------------------------------------------------------------------------------------------------

ATTEMPT_KIND = ATTEMPT_COUNT.attributes[0]
URL = Attribute(
    "url.full",
    "The URL without credentials, fragment and the values of its query.",
    stability="stable",
    example="https://billing.internal/invoices/42?token=REDACTED",
)
METHOD_ORIGINAL = Attribute(
    "http.request.method_original", "The method as it was written.", stability="stable", example="PURGE"
)
RESENT = Attribute("http.request.resend_count", "How often the request was sent before.", stability="stable", example=1)
ENDPOINT = Attribute("spanwire.endpoint", "The endpoint that was chosen for the attempt.", example="https://b.internal")
PEER_ADDRESS = Attribute(
    "network.peer.address", "The address of the socket's other end.", stability="stable", example="10.1.2.80"
)
PEER_PORT = Attribute("network.peer.port", "The port of the socket's other end.", stability="stable", example=443)
POOL_WAIT = Attribute(
    "spanwire.pool.wait", "Time that it waited for a connection of the pool.", unit="s", example=0.012
)
CONNECT_TIME = Attribute("spanwire.connect.time", "Time to connect, TLS included.", unit="s", example=0.034)

# -- waits and links -----------------------------------------------------------------------------------------------

WAIT_KIND = Attribute(
    "spanwire.wait.kind", "What was waited for.", values=("backoff", "rate_limit", "concurrency", "token", "coalesce")
)
RELATION = Attribute("spanwire.link.relation", "What the linked span is to this one.", values=("tripped_by",))


class Placed(NamedTuple):
    """An attribute on a kind of span: from its `start`, where samplers see it, or `later`; on all, or some `where`."""

    attribute: Attribute
    at: Literal["start", "later"]
    where: str = ""


@dataclass(frozen=True, slots=True)
class SpanShape:
    """One kind of span: its name, with what varies in braces, and its attributes."""

    name: str
    kind: Literal["INTERNAL", "CLIENT"]
    brief: str
    attributes: tuple[Placed, ...]


CALL = SpanShape(
    "call {method} {route}",
    "INTERNAL",
    "One logical call: what the caller asked for once, however many requests it takes.",
    (
        Placed(METHOD, "start"),
        Placed(ADDRESS, "start"),
        Placed(PORT, "start"),
        Placed(CLIENT, "start"),
        Placed(POLICY_HASH, "start"),
        Placed(ROUTE, "start", "`override(route=...)` gave it"),
        Placed(BASELINE, "later", "the call is of that tenth"),
        Placed(OUTCOME, "later"),
        Placed(REQUESTS, "later", "it is another number than 1"),
        Placed(NOTABLE, "later", "the call is notable"),
        Placed(ERROR_TYPE, "later", "the call failed or was rejected"),
    ),
)
ATTEMPT = SpanShape(
    "{method} {route}",
    "CLIENT",
    "One request on the wire, until its response headers.",
    (
        Placed(METHOD, "start"),
        Placed(ADDRESS, "start"),
        Placed(PORT, "start"),
        Placed(ATTEMPT_KIND, "start"),
        Placed(URL, "start", "the call is sampled"),
        Placed(ROUTE, "start", "`override(route=...)` gave it"),
        Placed(RESENT, "start", "it was sent before"),
        Placed(METHOD_ORIGINAL, "start", "the method is not a known one"),
        Placed(ENDPOINT, "start", "an endpoint was chosen"),
        Placed(STATUS, "later", "there is an answer"),
        Placed(ERROR_TYPE, "later", "the status is 400 or more, or there is an error"),
        Placed(PROTOCOL, "later", "there is an answer"),
        Placed(PEER_ADDRESS, "later", "the wire tells it"),
        Placed(PEER_PORT, "later", "the wire tells it"),
        Placed(POOL_WAIT, "later", "it was 1 ms or more"),
        Placed(CONNECT_TIME, "later", "it made a connection"),
        Placed(NOTABLE, "later", "the call is notable by then"),
    ),
)
WAIT = SpanShape(
    "wait {kind}",
    "INTERNAL",
    "A wait of 1 ms or more between attempts or before one.",
    (Placed(WAIT_KIND, "start"), Placed(NOTABLE, "start", "the call is notable by then")),
)
SPANS: tuple[SpanShape, ...] = (CALL, ATTEMPT, WAIT)
"""The kinds of span, in the order of the tree."""
