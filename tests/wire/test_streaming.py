"""Bodies: sent and received piece by piece, and a slot that is free again as soon as a response is closed."""

from __future__ import annotations

import httpx
import pytest

from tests.wire.conftest import Make
from tests.wire.origins import Server

ONE = httpx.Limits(max_connections=1)


def test_a_body_is_received_as_it_is_sent(wire: Make, origin: Server) -> None:
    ours = wire()
    chunks = ours.chunks(ours.open(origin.url + "/drip"))
    assert next(chunks) == b"half"
    origin.open_gate()
    assert list(chunks) == [b"rest"]


def test_a_body_is_sent_piece_by_piece(wire: Make, origin: Server) -> None:
    ours = wire()
    response = ours.send("POST", origin.url + "/echo", content=ours.body(b"first ", b"second"))
    assert response.content == b"first second"


def test_a_body_with_a_stated_length_is_sent_with_that_length(wire: Make, origin: Server) -> None:
    ours, stated = wire(), {"Content-Length": "12"}
    response = ours.send("POST", origin.url + "/mirror", content=ours.body(b"first ", b"second"), headers=stated)
    assert "content-length: 12" in response.text.lower()
    assert "transfer-encoding" not in response.text.lower()


def test_a_large_body_and_a_form_with_a_file_arrive_whole(wire: Make, origin: Server) -> None:
    ours, large = wire(), b"x" * 3_000_000
    assert ours.send("POST", origin.url + "/echo", content=large).content == large
    form = ours.send("POST", origin.url + "/echo", files={"file": ("name.txt", b"text")}, data={"key": "value"})
    assert b'name="key"' in form.content
    assert b'filename="name.txt"' in form.content


def test_a_response_closed_before_its_end_gives_its_slot_back(wire: Make, origin: Server) -> None:
    ours = wire(limits=ONE)
    for read in (True, False):
        response = ours.open(origin.url + "/drip")
        if read:
            assert next(ours.chunks(response)) == b"half"
        ours.close(response.stream)
    assert ours.get(origin.url).status_code == 200
    assert origin.accepted == 3  # a connection with the rest of a body on it is of no use


def test_a_response_whose_body_fails_gives_its_slot_back(wire: Make, origin: Server) -> None:
    ours = wire(limits=ONE)
    with pytest.raises(httpx.RemoteProtocolError):
        ours.get(origin.url + "/cut-short")
    assert ours.get(origin.url).status_code == 200


def test_a_connection_is_used_again_after_its_response_was_read(wire: Make, origin: Server) -> None:
    ours = wire()
    assert [ours.get(origin.url).text for _ in range(3)] == ["ok", "ok", "ok"]
    assert origin.accepted == 1


def test_the_connections_at_work_and_idle_are_counted(wire: Make, origin: Server) -> None:
    ours = wire()
    assert ours.transport.connections() == (0, 0)
    response = ours.open(origin.url + "/drip")
    assert ours.transport.connections() == (1, 0)
    origin.open_gate()
    assert b"".join(ours.chunks(response)) == b"halfrest"
    ours.close(response.stream)
    assert ours.transport.connections() == (0, 1)
    ours.close(ours.transport)
    assert ours.transport.connections() == (0, 0)


def test_the_response_tells_its_version_and_reason(wire: Make, origin: Server) -> None:
    response = wire().get(origin.url)
    assert (response.http_version, response.reason_phrase) == ("HTTP/1.1", "OK")
    assert response.headers["content-length"] == "2"
