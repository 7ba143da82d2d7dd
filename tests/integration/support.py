"""What the integration stories share: a site on real sockets, and clients of every colour driven in blocking words.

The fixtures `site`, `sites`, `nobody`, `driver` and `twins` come to the modules by way of `conftest`.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import inspect
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

import spanwire
from spanwire.testing import SpanwireTelemetry
from tests.testing.colours import Colour

# -- the site ---------------------------------------------------------------------------------------------------------


class HangUp(Exception):
    """An answer or a piece of a body that raises this closes the connection there and then."""


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: httpx.Headers
    body: bytes
    number: int
    """Which request it was, from 1, since `site.seen` was cleared."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass
class Answer:
    """What the site answers. A body that is an iterator is sent in chunks, each as soon as it is there."""

    status: int = 200
    body: bytes | Iterable[bytes] = b"ok"
    headers: Any = ()


Answering = Callable[[Seen], Answer]


class Site:
    """A small HTTP/1.1 server on 127.0.0.1. `answer` is asked for each request, in a thread of its connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answering = lambda seen: Answer()
        self.seen: list[Seen] = []
        self.connections = 0
        self.gate = threading.Event()
        """For answers to wait at; it opens by itself when the test is over."""
        self.lock = threading.Lock()
        self._server = _Server(self, tls)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self.authority = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005})
        self._thread.start()

    def script(self, *statuses: int) -> None:
        """Answer with one status after the other, then the last for ever."""
        self.answer = lambda seen: Answer(statuses[min(seen.number, len(statuses)) - 1], b"x" * 32)

    def stall(self, seen: Seen) -> Answer:
        """An answer that does not come before the gate is open."""
        self.gate.wait(5)
        return Answer()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.end()


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False

    def __init__(self, site: Site, tls: ssl.SSLContext | None) -> None:
        self.site, self.tls = site, tls
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        with self.site.lock:
            self.site.connections += 1
            self.sockets.append(connection)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
            with self.site.lock:
                self.sockets.append(request)
        with contextlib.closing(request):
            super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        request.close()

    def end(self) -> None:
        """Close the connections, so that their threads end, and join those."""
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave in the middle are the point."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def answer(self) -> None:
        site, body = self.server.site, self._body()
        with site.lock:
            seen = Seen(self.command, self.path, httpx.Headers(self.headers.items()), body, len(site.seen) + 1)
            site.seen.append(seen)
        try:
            self._send(site.answer(seen))
        except (HangUp, OSError):
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = answer.headers.items() if hasattr(answer.headers, "items") else answer.headers
        for name, value in headers:
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self._send_whole(answer, {name.lower() for name, _ in headers})
        else:
            self._send_pieces(answer.body)
        self.wfile.flush()

    def _send_whole(self, answer: Answer, given: set[str]) -> None:
        bodiless = answer.status in (204, 304)
        if not bodiless and "content-length" not in given:
            self.send_header("content-length", str(len(answer.body)))  # type: ignore[arg-type]
        self.end_headers()
        if not bodiless and self.command != "HEAD":
            self.wfile.write(answer.body)  # type: ignore[arg-type]

    def _send_pieces(self, body: Iterable[bytes]) -> None:
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for piece in body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def sites() -> Iterator[Callable[..., Site]]:
    """Makes sites, which end with the test."""
    with contextlib.ExitStack() as stack:

        def make(**arguments: Any) -> Site:
            site = Site(**arguments)
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture
def site(sites: Callable[..., Site]) -> Site:
    return sites()


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nobody listens, for as long as the test lasts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# -- clients of every colour, in the same words -----------------------------------------------------------------------


class Driven:
    """A client whose methods block in every colour; what is not named here is the client's own."""

    def __init__(self, driver: Driver, client: Any) -> None:
        self.driver, self.client = driver, client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **named: self.driver.run(found(*arguments, **named))

    def close(self) -> None:
        self.driver.colour.close(self.client)

    def enter(self) -> None:
        self.driver.run(self.client.__enter__() if self.driver.is_sync else self.client.__aenter__())

    @contextlib.contextmanager
    def stream(self, *arguments: Any, **named: Any) -> Iterator[Streamed]:
        """`client.stream`, with a response that blocks."""
        opened = self.client.stream(*arguments, **named)
        with opened if self.driver.is_sync else self.driver.entered(opened) as response:
            yield Streamed(self.driver, response)

    def open(self, request: httpx.Request, **named: Any) -> Streamed:
        """`client.send(request, stream=True)`, with a response that blocks."""
        return Streamed(self.driver, self.send(request, stream=True, **named))


class Streamed:
    """A response under way whose methods block in every colour."""

    def __init__(self, driver: Driver, response: httpx.Response) -> None:
        self.driver, self.response = driver, response

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("iter_") or self.driver.is_sync:
            return getattr(self.response, name)
        return lambda *arguments, **named: self._chunks(getattr(self.response, f"a{name}")(*arguments, **named))

    def _chunks(self, chunks: Any) -> Iterator[Any]:
        try:
            yield from iter(lambda: self.driver.run(anext(chunks, None)), None)
        finally:
            self.driver.run(chunks.aclose())

    def read(self) -> bytes:
        body: bytes = self.driver.run(self.response.read() if self.driver.is_sync else self.response.aread())
        return body

    def close(self) -> None:
        self.driver.run(self.response.close() if self.driver.is_sync else self.response.aclose())


@functools.cache
def _tls() -> ssl.SSLContext:
    """The default TLS context, made once: making one takes longer than most tests."""
    return httpx.create_ssl_context()


class Driver:
    """Opens clients of one colour, which end with the test."""

    def __init__(self, colour: Colour) -> None:
        self.colour = colour
        self.is_sync = not colour.is_async
        self.run = colour.run

    def of(self, library: Any, **arguments: Any) -> Driven:
        """A client of `httpx` or of `spanwire`."""
        arguments.setdefault("verify", _tls())
        client = (library.Client if self.is_sync else library.AsyncClient)(**arguments)
        self.colour._clients.append(client)
        return Driven(self, client)

    def ours(self, **arguments: Any) -> Driven:
        return self.of(spanwire, **arguments)

    def theirs(self, **arguments: Any) -> Driven:
        return self.of(httpx, **arguments)

    def hook(self, function: Callable[..., Any]) -> Any:
        """A plain function as this colour wants its event hooks."""
        if self.is_sync:
            return function

        async def hook(*arguments: Any) -> Any:
            return function(*arguments)

        return hook

    def transport(self, handler: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
        return httpx.MockTransport(self.hook(handler))

    @contextlib.contextmanager
    def entered(self, manager: Any) -> Iterator[Any]:
        """An async context manager as a plain one."""
        value = self.run(manager.__aenter__())
        try:
            yield value
        except BaseException as error:
            if not self.run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.run(manager.__aexit__(None, None, None))


@pytest.fixture
def driver(colour: Colour) -> Driver:
    return Driver(colour)


# -- the same story with httpx and with us ----------------------------------------------------------------------------

_OURS = ("traceparent", "tracestate", "user-agent")
_BOUNDARY = re.compile(rb"(?<=boundary=)[0-9a-f]{32}|(?<=--)[0-9a-f]{32}")


def _arrived(seen: Seen) -> tuple[Any, ...]:
    """A request without what may differ: our headers, and the boundary of a form."""
    headers = [
        (name, _BOUNDARY.sub(b"BOUNDARY", value.encode()))
        for name, value in seen.headers.multi_items()
        if name not in _OURS
    ]
    return seen.method, seen.target, sorted(headers), _BOUNDARY.sub(b"BOUNDARY", seen.body)


@dataclass
class Twins:
    """Tells a story with httpx's client and with ours, and holds that nobody can tell them apart."""

    driver: Driver
    site: Site
    telemetry: SpanwireTelemetry
    ours: dict[str, Any] = field(default_factory=dict)
    """Arguments for our client alone."""

    def __call__(self, story: Callable[[Driven], Any], **arguments: Any) -> Any:
        """What the story gives, the same for both: its result, or the class and the message of its error from httpx."""
        ends = []
        for library, more in ((httpx, {}), (spanwire, self.telemetry.providers | self.ours)):
            del self.site.seen[:]
            client = self.driver.of(library, **arguments, **more)
            ends.append((self._ended(story, client), [_arrived(seen) for seen in self.site.seen]))
            client.close()
        (theirs, seen_of_theirs), (ours, seen_of_ours) = ends
        assert ours == theirs
        assert seen_of_ours == seen_of_theirs
        return ours

    @staticmethod
    def _ended(story: Callable[[Driven], Any], client: Driven) -> Any:
        try:
            return story(client)
        except httpx.TransportError as error:  # in the words of the library below, which is another one
            return type(error), ""
        except (httpx.HTTPError, httpx.StreamError) as error:
            return type(error), str(error)


@pytest.fixture
def twins(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> Twins:
    return Twins(driver, site, telemetry)


def kinds(telemetry: SpanwireTelemetry) -> list[str]:
    """The kinds of the attempts, in order."""
    return [str((span.attributes or {})["spanwire.attempt.kind"]) for span in telemetry.attempt_spans]


def outcomes(telemetry: SpanwireTelemetry) -> list[str]:
    """The outcomes of the calls, in order."""
    return [str((span.attributes or {})["spanwire.outcome"]) for span in telemetry.call_spans]
