"""Streaming with our clients is streaming with httpx's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

import spanwire
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driven, Driver, Seen, Site, Twins, kinds, outcomes

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2?\\.:ResourceWarning")
"""The generators of httpx and of its httpcore warn on trio if a loop over them is left early."""

LINES = [b"first\nsec", b"ond\r\nthird", b"\nlast"]


def _dripping(seen: Seen) -> Answer:
    return Answer(200, iter(LINES), {"content-type": "text/plain"})


@pytest.mark.parametrize(
    ("method", "arguments", "wanted"),
    [
        ("iter_bytes", (), b"".join(LINES)),
        ("iter_bytes", (5,), b"".join(LINES)),
        ("iter_raw", (), b"".join(LINES)),
        ("iter_raw", (7,), b"".join(LINES)),
        ("iter_text", (), b"".join(LINES).decode()),
        ("iter_lines", (), "firstsecondthirdlast"),
    ],
)
def test_every_way_to_iterate_gives_what_httpx_gives(
    twins: Twins, method: str, arguments: tuple[int, ...], wanted: bytes | str
) -> None:
    twins.site.answer = _dripping

    def story(client: Driven) -> object:
        with client.stream("GET", twins.site.url) as response:
            pieces = list(getattr(response, method)(*arguments))
            sizes = [len(piece) for piece in pieces[:-1]] if arguments else []
            return wanted[:0].join(pieces), sizes, response.num_bytes_downloaded, response.is_stream_consumed

    joined, sizes, *_ = twins(story)
    assert joined == wanted
    assert set(sizes) <= set(arguments)


def test_a_stream_can_be_read_whole_and_then_has_its_content(twins: Twins) -> None:
    twins.site.answer = _dripping

    def story(client: Driven) -> object:
        with client.stream("GET", twins.site.url) as response:
            read = response.read()
            return read, response.content, response.text, response.is_closed, response.read()

    assert twins(story)[0] == b"".join(LINES)


def test_a_stream_tells_its_time_only_when_it_is_closed(twins: Twins) -> None:
    def story(client: Driven) -> object:
        with client.stream("GET", twins.site.url) as response:
            with pytest.raises(RuntimeError, match="elapsed"):
                _ = response.elapsed
            response.read()
            return response.elapsed.total_seconds() > 0

    assert twins(story) is True


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        (lambda response: response.content, httpx.ResponseNotRead),
        (lambda response: (list(response.iter_raw()), list(response.iter_raw())), httpx.StreamConsumed),
        (lambda response: (response.close(), list(response.iter_raw())), httpx.StreamClosed),
        (lambda response: (next(response.iter_raw()), response.close(), response.read()), httpx.StreamConsumed),
    ],
    ids=["content of what is not read", "twice", "after closing", "read after half of it"],
)
def test_misuse_of_a_stream_raises_what_httpx_raises(
    twins: Twins, misuse: Callable[[object], object], error: type[Exception]
) -> None:
    twins.site.answer = _dripping

    def story(client: Driven) -> None:
        with client.stream("GET", twins.site.url) as response:
            misuse(response)

    kind, _ = twins(story)
    assert kind is error


def test_a_stream_of_the_other_colour_is_refused_as_by_httpx(twins: Twins) -> None:
    twins.site.answer = _dripping

    def story(client: Driven) -> str:
        with client.stream("GET", twins.site.url) as response:
            wrong = response.response.aiter_raw().__anext__() if twins.driver.is_sync else response.response.iter_raw()
            with pytest.raises(RuntimeError) as caught:
                wrong.send(None)
        return str(caught.value)

    assert "async" in twins(story)


def test_the_first_pieces_are_there_before_the_last_are_sent(twins: Twins) -> None:
    def story(client: Driven) -> object:
        twins.site.gate.clear()
        with client.stream("GET", twins.site.url) as response:
            pieces = response.iter_raw()
            first = next(pieces)
            twins.site.gate.set()
            return first, b"".join(pieces)

    def body() -> Iterator[bytes]:
        yield b"first"
        assert twins.site.gate.wait(5)
        yield b"last"

    twins.site.answer = lambda seen: Answer(200, body())
    assert twins(story) == (b"first", b"last")


@pytest.mark.parametrize("ending", ["leaves early", "raises", "never looks"])
def test_a_stream_that_is_left_gives_its_connection_back(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, ending: str
) -> None:
    site.answer = _dripping
    client = driver.ours(limits=httpx.Limits(max_connections=1), **telemetry.providers)

    def use() -> None:
        with client.stream("GET", site.url) as response:
            if ending == "leaves early":
                assert next(response.iter_bytes())
            elif ending == "raises":
                raise LookupError

    if ending == "raises":
        with pytest.raises(LookupError):
            use()
    else:
        use()
    assert client.get(site.url).content == b"".join(LINES)
    assert outcomes(telemetry) == ["success", "success"]


def test_what_is_built_can_be_sent_as_a_stream(twins: Twins) -> None:
    twins.site.answer = _dripping

    def story(client: Driven) -> object:
        response = client.open(client.build_request("POST", twins.site.url, content=b"x"))
        closed = [response.is_closed]
        body = response.read()
        return body, closed, response.is_closed

    assert twins(story) == (b"".join(LINES), [False], True)
    assert outcomes(twins.telemetry) == ["success"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_stream_without_a_body_is_empty(twins: Twins, method: str, status: int) -> None:
    twins.site.script(status)

    def story(client: Driven) -> object:
        with client.stream(method, twins.site.url) as response:
            read = response.read()
        with client.stream(method, twins.site.url) as response:
            return response.status_code, read, list(response.iter_bytes())

    assert twins(story) == (status, b"", [])
    assert outcomes(twins.telemetry) == ["success", "success"]


def test_redirects_are_followed_before_a_stream_begins(twins: Twins) -> None:
    twins.site.answer = lambda seen: Answer(302, b"moved", {"location": "/b"}) if seen.path == "/a" else _dripping(seen)

    def story(client: Driven) -> object:
        with client.stream("GET", f"{twins.site.url}/a", follow_redirects=True) as response:
            return [hop.content for hop in response.history], response.url.path, response.read()

    assert twins(story) == ([b"moved"], "/b", b"".join(LINES))
    assert (outcomes(twins.telemetry), kinds(twins.telemetry)) == (["success"], ["primary", "redirect"])


def test_a_streamed_answer_that_raises_for_its_status_is_closed(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.script(404, 200)
    client = driver.ours(raise_for_status=True, limits=httpx.Limits(max_connections=1), **telemetry.providers)
    with pytest.raises(httpx.HTTPStatusError) as caught, client.stream("GET", site.url):
        raise AssertionError("there is nothing to stream")
    assert caught.value.response.is_closed
    assert spanwire.report(caught.value).attempts[0].status == 404
    assert client.get(site.url, timeout=5).status_code == 200
    assert outcomes(telemetry) == ["success", "success"]
