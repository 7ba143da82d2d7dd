"""What a faulty origin is asked, and how it answers: one answer as bytes, pauses and faults on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import httpx

Fault = Literal["none", "hang_up", "reset", "truncate", "reset_midway", "garbage"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How the origin answers one request.

    Args:
        status: the status code.
        headers: headers beside `content-length` and `connection`.
        body: the body; a string is sent as UTF-8.
        delay: seconds before it answers.
        hold: whether it waits, before it answers, until `origin.release()`.
        drip: seconds between the pieces of the body, which is then chunked; by default it is sent at once.
        pieces: how many pieces it drips.
        close: whether it closes the connection afterwards, and says so (True) or does not ("silently").
        fault: what goes wrong. "hang_up": the connection is closed instead of an answer; "reset": it is reset;
            "truncate": it is closed in the middle of the body; "reset_midway": it is reset there; "garbage": the
            answer is not HTTP.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b"ok"
    delay: float = 0.0
    hold: bool = False
    drip: float | None = None
    pieces: int = 10
    close: bool | Literal["silently"] = False
    fault: Fault = "none"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the origin saw it. `connection` is the number of its connection, from 1."""

    method: str
    target: str
    headers: httpx.Headers
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


async def read_request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    """The next request of a connection, with its whole body; None at the connection's end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = httpx.Headers([(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])
    if "chunked" in headers.get("transfer-encoding", ""):
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body, connection)


def _gone() -> bytes:
    raise EOFError


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()) or _gone(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def send(answer: Answer, seen: Seen, writer: asyncio.StreamWriter, leaving: Callable[[], None]) -> bool:
    """Answer a request; whether the connection stays open. `leaving` is called before the last byte goes out."""
    if answer.fault in ("none", "truncate", "reset_midway"):
        await _write(answer, seen, writer, leaving)
    leaving()
    if answer.fault == "garbage":
        writer.write(b"this is not HTTP\r\n\r\n")
    if answer.fault in ("reset", "reset_midway"):
        reset(writer)
    return answer.fault == "none" and not answer.close


async def _write(answer: Answer, seen: Seen, writer: asyncio.StreamWriter, leaving: Callable[[], None]) -> None:
    head, *pieces = _pieces(answer, seen)
    if not pieces:
        leaving()
    writer.write(head)
    for number, piece in enumerate(pieces, 1):
        await writer.drain()
        await asyncio.sleep(answer.drip or 0)
        if number == len(pieces):
            leaving()
        writer.write(piece)
    with contextlib.suppress(OSError):  # a client that has gone is not the origin's trouble
        await writer.drain()


def _pieces(answer: Answer, seen: Seen) -> Iterator[bytes]:
    """What is written at once: the head, with the body unless that drips; then the drops."""
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    whole = answer.fault == "none"
    part = body if whole else body[: len(body) // 2]
    if seen.method == "HEAD" or answer.status in (204, 304):
        yield _head(answer, None if answer.status in (204, 304) else f"content-length: {len(body)}")
    elif answer.drip is None:
        yield _head(answer, f"content-length: {max(len(body), 0 if whole else 1)}") + part
    else:
        yield _head(answer, "transfer-encoding: chunked")
        size = max(1, -(-len(body) // answer.pieces))
        for start in range(0, len(part), size):
            piece = part[start : start + size]
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
        if whole:
            yield b"0\r\n\r\n"


def _head(answer: Answer, framing: str | None) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in answer.headers.items())]
    if framing is not None:
        lines.append(framing)
    if answer.close is True:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a reset (RST) and not by an orderly close (FIN)."""
    lingering: socket.socket = writer.get_extra_info("socket")
    lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
