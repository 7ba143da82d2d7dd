"""A timeout of a socket is for each read: what an origin does between two reads must not stretch the call."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from spanwire import CircuitBreaker, Client, DeadlineExceeded, Fixed, Policy, Retry, Timeout

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def speaking(talk: Talk) -> Iterator[str]:
    """An origin that says to each connection, after its first bytes, what `talk` says."""
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    def converse(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            while not over.wait(0.02):
                talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        over.set()


def interim(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")


def byte_by_byte() -> Talk:
    rest = iter(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 4096)
    return lambda connection: connection.sendall(bytes([next(rest)]))


def a_chunk_that_never_comes() -> Talk:
    rest = iter((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", *(b"a" for _ in range(4096))))
    return lambda connection: connection.sendall(next(rest))


@pytest.mark.parametrize("talk", [interim, byte_by_byte()], ids=["endless 102", "header byte by byte"])
def test_the_attempt_ends_at_its_limit_before_the_header_is_there(talk: Talk) -> None:
    policy = Policy(timeout=Timeout(total=5, attempt=0.3, read=0.2), retry=None)
    with speaking(talk) as url, Client(policy=policy) as client:
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            client.get(url)
        assert time.monotonic() - started < 1.5


def test_the_call_ends_at_its_deadline_within_a_chunk() -> None:
    policy = Policy(timeout=Timeout(total=0.4, attempt=0.3, read=0.2), retry=None)
    with speaking(a_chunk_that_never_comes()) as url, Client(policy=policy) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            client.get(url)
        assert time.monotonic() - started < 1.5


def test_nothing_is_sent_when_a_wait_that_cannot_be_cut_has_used_up_the_time() -> None:
    """It was sent with timeouts of 0, ended in `ReadError: [Errno 11]`, and the breaker counted it."""
    sent = []

    class Slow(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            time.sleep(0.25)
            yield b"y"

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(503, stream=Slow())

    policy = Policy(
        timeout=Timeout(total=0.4),
        retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.3), budget=None),
        circuit_breaker=CircuitBreaker(consecutive_failures=10),
    )
    with Client(transport=httpx.MockTransport(answer), policy=policy) as client:
        with pytest.raises(DeadlineExceeded):
            client.get("http://origin.test/")
        assert len(sent) == 1
        assert client.circuit_breakers["http://origin.test"].calls == 1
