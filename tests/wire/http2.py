"""An origin that speaks HTTP/2, by h2: the path says how it behaves."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.wire.origins import Server


async def http2(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    asked: dict[int, str] = {}
    held: set[asyncio.Task[None]] = set()
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                asked[event.stream_id] = dict(event.headers)[b":path"].decode()
            elif isinstance(event, h2.events.StreamEnded):
                path = asked[event.stream_id]
                server.requests.append(path)
                if path == "/hold":
                    held.add(asyncio.create_task(answer_later(server, writer, connection, event.stream_id)))
                elif path == "/hang-up":
                    return
                else:
                    respond(connection, event.stream_id, path)
        writer.write(connection.data_to_send())


def respond(connection: h2.connection.H2Connection, stream: int, path: str) -> None:
    match path:
        case "/refuse":
            connection.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        case "/reset":
            connection.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        case "/go-away-at-once":
            connection.close_connection(last_stream_id=0)
        case "/go-away":
            connection.close_connection(last_stream_id=stream)
        case _:
            connection.send_headers(stream, [(":status", "200"), ("content-length", "2")])
            connection.send_data(stream, b"ok", end_stream=True)


async def answer_later(
    server: Server, writer: asyncio.StreamWriter, connection: h2.connection.H2Connection, stream: int
) -> None:
    await server.gate()
    respond(connection, stream, "/")
    writer.write(connection.data_to_send())
