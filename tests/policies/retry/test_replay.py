import io
import uuid

import httpx
import pytest

from spanwire.policies.retry.replay import give_key, replayable


class Pipe(io.RawIOBase):
    """A file that does not rewind, as a socket or a pipe."""

    def readable(self):
        return True

    def readinto(self, buffer):
        return 0


def request(**body):
    return httpx.Request("PUT", "http://origin.test/", **body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": b"x"},
        {"content": "x"},
        {"json": {"a": 1}},
        {"data": {"a": "1"}},
        {"files": {"a": b"x"}},
        {"files": {"a": io.BytesIO(b"x")}, "data": {"b": "1"}},
    ],
    ids=["empty", "bytes", "text", "json", "form", "multipart bytes", "multipart file"],
)
def test_a_body_that_can_be_sent_again(body):
    assert replayable(request(**body))


@pytest.mark.parametrize(
    "body",
    [
        {"content": iter([b"x"])},
        {"content": (piece for piece in [b"x"])},
        {"files": {"a": Pipe()}},
        {"files": {"a": type("F", (), {"read": None})()}},
    ],
    ids=["iterator", "generator", "pipe", "no file at all"],
)
def test_a_body_that_is_gone_once_it_was_sent(body):
    assert not replayable(request(**body))


def test_an_async_generator_is_gone_too():
    async def pieces():
        yield b"x"

    assert not replayable(request(content=pieces()))


def test_nothing_is_read_or_buffered_to_find_out():
    pieces = iter([b"a", b"b"])
    replayable(request(content=pieces))
    assert list(pieces) == [b"a", b"b"]


def test_a_body_that_the_caller_has_read_into_memory_can_be_sent_again():
    streamed = request(content=iter([b"x"]))
    streamed.read()
    assert replayable(streamed)


def test_each_request_gets_a_key_of_its_own_and_keeps_one_that_it_has():
    first, second, own = request(), request(), request(headers={"idempotency-key": "mine"})
    for each in (first, second, own):
        give_key(each)
    assert uuid.UUID(first.headers["Idempotency-Key"]).version == 4
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]
    assert own.headers["Idempotency-Key"] == "mine"
