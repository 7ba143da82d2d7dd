"""The aiohttp wire sends what httpx has decided, and nothing of aiohttp's own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.wire.colours import Wire
from tests.wire.origins import Server


@pytest.fixture
def ours() -> Iterator[Wire]:
    with Wire("aiohttp") as wire:
        yield wire


@pytest.mark.parametrize("target", ["/a%7Eb/%2F%2f", "/x?signature=%2Babc%3D&t=%41", "/?a=1&&b", "/?q=%27%22"])
def test_a_url_arrives_as_it_was_written(ours: Wire, origin: Server, target: str) -> None:
    ours.get(origin.url + target)
    assert origin.requests == [f"GET {target} HTTP/1.1"]


def test_headers_arrive_as_they_were_given_and_none_is_added(ours: Wire, origin: Server) -> None:
    request = ours.client.build_request("POST", origin.url + "/mirror", content=b"x")
    given = [("Host", "elsewhere"), ("X-Twice", "1"), ("X-Twice", "2"), ("X-Name", "Zoë"), ("Content-Length", "1")]
    request.headers = httpx.Headers(given, encoding="utf-8")
    head = ours.run(ours.client.send, request).content.decode()
    assert head.split("\r\n")[1:-2] == [f"{name}: {value}" for name, value in given]


def test_credentials_in_the_url_are_left_to_httpx(ours: Wire, origin: Server) -> None:
    head = ours.get(origin.url.replace("//", "//user:secret@") + "/mirror").text
    assert head.lower().count("authorization: basic") == 1


def test_cookies_are_the_clients_alone(ours: Wire, origin: Server) -> None:
    ours.get(origin.url + "/cookie")
    assert dict(ours.client.cookies) == {"seen": "1"}
    ours.client.cookies.clear()
    assert "cookie" not in ours.get(origin.url + "/mirror").text.lower()


def test_a_request_is_not_sent_again_unseen_when_a_kept_connection_breaks(ours: Wire, origin: Server) -> None:
    ours.get(origin.url)
    (result,) = ours.together(1, origin.url + "/hang-up")
    assert type(result).__name__ == "RemoteProtocolError"
    assert origin.requests == ["GET / HTTP/1.1", "GET /hang-up HTTP/1.1"]


def test_a_session_is_opened_again_after_it_was_closed(ours: Wire, origin: Server) -> None:
    ours.get(origin.url)
    ours.close(ours.transport)
    assert ours.open(origin.url).status_code == 200
