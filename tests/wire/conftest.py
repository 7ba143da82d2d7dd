"""The wires of every colour and the origins that they meet."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import trustme

from tests.wire.colours import COLOURS, Wire
from tests.wire.origins import Server, http1

Make = Callable[..., Wire]


@pytest.fixture(params=COLOURS)
def wire(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a wire of each colour, from the arguments of a transport, and closes it after the test."""
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(Wire(request.param, **arguments))


@pytest.fixture
def origin() -> Iterator[Server]:
    with Server(http1) as server:
        yield server


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS of an origin at 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def h2_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The same, for an origin that speaks HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What a client must trust to reach those."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
