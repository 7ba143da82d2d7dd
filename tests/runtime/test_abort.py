"""How a sync loser is cut off: the wire writes `abort` on its attempt, and the runtime calls it in time."""

from __future__ import annotations

import threading

import httpx
import pytest

from spanwire.call import ATTEMPT, Attempt
from spanwire.runtime.sync import SyncRuntime
from spanwire.runtime.threads import BranchLost
from tests.testing.colours import Colour

SYNC = pytest.mark.parametrize("colour", ["sync"], indirect=True)


class Wire(httpx.BaseTransport):
    """The primary is stuck until it is aborted, everything else is answered."""

    def __init__(self, error: Exception | None = None) -> None:
        self.cut = threading.Event()
        self.stuck = threading.Event()
        self.aborts: list[str] = []
        self.error = error

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        attempt = request.extensions[ATTEMPT]

        def abort() -> None:
            self.aborts.append(attempt.kind)
            self.cut.set()
            if self.error is not None:
                raise self.error

        attempt.abort = abort
        if attempt.kind == "primary":
            self.stuck.set()
            self.cut.wait(5)
            raise httpx.ReadError("the socket was shut down")
        return httpx.Response(200)


class Sends:
    def __init__(self, colour: Colour, wire: Wire) -> None:
        self.io: SyncRuntime = colour.runtime(wire)
        self.wire = wire
        self.ended: list[str] = []

    async def send(self, index: int) -> httpx.Response:
        attempt = Attempt(index, "hedge" if index else "primary", 0.0)
        request = httpx.Request("GET", "https://billing.internal/", extensions={ATTEMPT: attempt})
        if index:
            self.wire.stuck.wait(5)
        try:
            response = await self.io.send(request)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        return response

    async def race(self) -> httpx.Response:
        return await self.io.race(self.send, 0.0, 1, lambda response: True, self.io.close)


@SYNC
def test_a_loser_is_aborted_and_did_not_fail(colour: Colour) -> None:
    sends = Sends(colour, wire := Wire())
    assert colour.run(sends.race()).status_code == 200
    colour.until(lambda: sends.ended)
    assert (wire.aborts, sends.ended) == (["primary"], [BranchLost.__name__])


@SYNC
def test_a_wire_that_is_about_to_send_can_see_that_it_is_too_late(colour: Colour) -> None:
    """Where there is nothing to abort yet: the attempt waits for a connection."""

    class Queue(Wire):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            attempt = request.extensions[ATTEMPT]
            if attempt.kind == "primary":
                self.stuck.set()
                colour.until(lambda: getattr(attempt, "lost", False))
                raise httpx.ConnectError("it is too late")
            return httpx.Response(200)

    sends = Sends(colour, Queue())
    assert colour.run(sends.race()).status_code == 200
    colour.until(lambda: sends.ended == [BranchLost.__name__])


@SYNC
def test_a_socket_that_is_closed_already_is_no_trouble(colour: Colour) -> None:
    sends = Sends(colour, wire := Wire(OSError(9, "Bad file descriptor")))
    assert colour.run(sends.race()).status_code == 200
    assert wire.aborts == ["primary"]


@SYNC
def test_a_branch_that_is_lost_sends_no_more(colour: Colour) -> None:
    sends = Sends(colour, Wire())
    sends.io.shutdown()

    async def start() -> None:
        sends.io.spawn(sends.race, "late")  # type: ignore[arg-type]

    colour.run(start())
    colour.until(lambda: sends.ended)
    assert set(sends.ended) == {BranchLost.__name__}
    assert not sends.wire.stuck.is_set()
