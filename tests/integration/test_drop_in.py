"""Our clients in place of httpx's: the same story told with both ends the same, for the caller and for the origin."""

from __future__ import annotations

import io
import json

import httpx
import pytest

import spanwire
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driven, Driver, Seen, Site, Twins, kinds, outcomes

# -- what they are ----------------------------------------------------------------------------------------------------


def test_our_clients_and_transports_are_httpx_ones() -> None:
    assert issubclass(spanwire.Client, httpx.Client)
    assert issubclass(spanwire.AsyncClient, httpx.AsyncClient)
    assert issubclass(spanwire.Transport, httpx.BaseTransport)
    assert issubclass(spanwire.AsyncTransport, httpx.AsyncBaseTransport)


def test_what_httpx_has_as_attributes_ours_have_with_the_same_values(driver: Driver) -> None:
    arguments = {
        "base_url": "https://billing.internal/api",
        "headers": {"X-One": "1"},
        "params": {"page": "2"},
        "cookies": {"seen": "1"},
        "follow_redirects": True,
        "max_redirects": 7,
        "trust_env": False,
        "timeout": 3.0,
    }
    theirs, ours = driver.theirs(**arguments).client, driver.ours(**arguments).client
    for name in (
        "base_url",
        "params",
        "follow_redirects",
        "max_redirects",
        "trust_env",
        "timeout",
        "auth",
        "is_closed",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert dict(ours.cookies) == dict(theirs.cookies)
    assert isinstance(ours.cookies, httpx.Cookies)
    assert isinstance(ours.headers, httpx.Headers)
    assert set(ours.event_hooks) == {"request", "response"}
    del ours.headers["user-agent"], theirs.headers["user-agent"]
    assert ours.headers == theirs.headers


def test_the_attributes_can_be_set_as_httpx_lets_them_be_set(twins: Twins) -> None:
    def story(client: Driven) -> object:
        client.client.base_url = twins.site.url
        client.client.headers = {"X-Late": "1"}
        client.client.params = {"late": "1"}
        client.client.cookies = {"late": "1"}
        client.client.auth = ("late", "secret")
        client.client.timeout = 7
        client.client.event_hooks = {"request": [driver_hook]}
        return client.get("/").status_code, client.client.timeout

    marked: list[str] = []
    driver_hook = twins.driver.hook(lambda request: marked.append(request.url.path))
    assert twins(story) == (200, httpx.Timeout(7))
    assert marked == ["/", "/"]


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE", "FROBNICATE"])
def test_every_method_arrives_as_from_httpx(twins: Twins, method: str) -> None:
    assert twins(lambda client: client.request(method, twins.site.url).status_code) == 200
    assert [seen.method for seen in twins.site.seen] == [method]


@pytest.mark.parametrize(
    "body",
    [
        {"content": b"bytes"},
        {"content": "text"},
        {"json": {"a": [1, 2]}},
        {"data": {"a": "1", "b": ["2", "3"]}},
        {"files": {"file": ("a.txt", b"content", "text/plain")}},
        {"files": [("file", b"one"), ("file", b"two")], "data": {"a": "1"}},
    ],
    ids=["bytes", "text", "json", "form", "file", "multipart"],
)
def test_every_kind_of_body_arrives_as_from_httpx(twins: Twins, body: dict[str, object]) -> None:
    assert twins(lambda client: client.post(twins.site.url, **body).status_code) == 200
    assert twins.site.seen[0].body


def test_an_open_file_is_uploaded_as_by_httpx(twins: Twins) -> None:
    def story(client: Driven) -> int:
        return client.post(twins.site.url, files={"file": io.BytesIO(b"x" * 100_000)}).status_code

    assert twins(story) == 200
    assert b"x" * 100_000 in twins.site.seen[0].body


def test_a_body_that_comes_piece_by_piece_is_sent_so(twins: Twins) -> None:
    def pieces() -> object:
        if twins.driver.is_sync:
            return iter([b"one", b"two"])

        async def later() -> object:
            yield b"one"
            yield b"two"

        return later()

    assert twins(lambda client: client.post(twins.site.url, content=pieces()).status_code) == 200
    assert twins.site.seen[0].headers["transfer-encoding"] == "chunked"
    assert twins.site.seen[0].body == b"onetwo"


def test_defaults_and_the_requests_own_are_merged_as_by_httpx(twins: Twins) -> None:
    def story(client: Driven) -> object:
        response = client.get("invoices/42", params={"page": "2"}, headers={"X-Own": "1", "X-Both": "own"})
        return str(response.request.url), response.url

    twins(
        story,
        base_url=f"{twins.site.url}/api",
        params={"tenant": "a"},
        headers={"X-Default": "1", "X-Both": "default"},
        cookies={"default": "1"},
    )
    (seen,) = twins.site.seen
    assert seen.target == "/api/invoices/42?tenant=a&page=2"
    assert seen.headers["x-both"] == "own"
    assert seen.headers["x-default"] == "1"
    assert seen.headers["cookie"] == "default=1"


def test_a_user_agent_of_the_callers_stays(driver: Driver, site: Site) -> None:
    driver.ours(headers={"User-Agent": "mine/1"}).get(site.url)
    driver.ours().get(site.url)
    assert [seen.headers["user-agent"] for seen in site.seen] == ["mine/1", f"spanwire/{spanwire.__version__}"]


# -- responses --------------------------------------------------------------------------------------------------------


def test_a_response_says_what_httpx_says(twins: Twins) -> None:
    twins.site.answer = lambda seen: Answer(
        404, "größe".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1", "X-Kind": "b"}
    )

    def story(client: Driven) -> object:
        response = client.get(twins.site.url)
        extensions = {name for name in response.extensions if not name.startswith("spanwire")}
        return (
            response.status_code,
            response.reason_phrase,
            response.http_version,
            response.headers["x-kind"],
            response.text,
            response.encoding,
            response.is_client_error,
            response.is_closed,
            response.is_stream_consumed,
            response.num_bytes_downloaded,
            response.elapsed.total_seconds() > 0,
            response.history,
            response.next_request,
            type(response),
            extensions,
            str(response.request.url) == twins.site.url,
        )

    assert twins(story)[4] == "größe"


def test_what_is_encoded_is_decoded(twins: Twins) -> None:
    import gzip

    twins.site.answer = lambda seen: Answer(
        200, gzip.compress(json.dumps({"a": 1}).encode()), {"Content-Encoding": "gzip"}
    )
    assert twins(lambda client: client.get(twins.site.url).json()) == {"a": 1}


def test_the_default_encoding_is_the_clients(twins: Twins) -> None:
    twins.site.answer = lambda seen: Answer(200, "größe".encode("latin-1"), {"Content-Type": "text/plain"})
    assert twins(lambda client: client.get(twins.site.url).text, default_encoding="latin-1") == "größe"


def test_a_status_is_raised_with_httpx_error(twins: Twins) -> None:
    twins.site.script(404)

    def story(client: Driven) -> None:
        client.get(f"{twins.site.url}/a?page=2").raise_for_status()

    kind, message = twins(story)
    assert kind is httpx.HTTPStatusError
    assert "404" in message


@pytest.mark.parametrize("how", ["for the client", "for the call", "not for the call"])
def test_a_status_of_400_or_more_is_raised_where_that_is_asked_for(driver: Driver, site: Site, how: str) -> None:
    client = driver.ours(raise_for_status=how != "for the call", policy=spanwire.Policy(retry=None))
    asked = {} if how == "for the client" else spanwire.override(raise_for_status=how == "for the call")
    for status in (200, 204, 302, 304):
        site.script(status)
        assert client.get(site.url, extensions=asked).status_code == status
    for status in (400, 404, 500):
        site.script(status)
        if how == "not for the call":
            assert client.get(site.url, extensions=asked).status_code == status
            continue
        with pytest.raises(httpx.HTTPStatusError, match=str(status)) as caught:
            client.get(site.url, extensions=asked)
        assert caught.value.response.content == b"x" * 32
        assert str(caught.value.request.url) == site.url
        assert spanwire.report(caught.value).attempts[0].status == status


def test_httpx_other_extensions_reach_the_wire(driver: Driver, site: Site) -> None:
    heard: list[str] = []

    def trace(name: str, _: object) -> None:
        heard.append(name)

    async def atrace(name: str, _: object) -> None:
        heard.append(name)

    extensions = {"trace": trace if driver.is_sync else atrace, "mine": 1}
    response = driver.ours().get(site.url, extensions=extensions)
    assert "http11.send_request_headers.complete" in heard
    assert response.request.extensions["mine"] == 1
    assert set(extensions) == {"trace", "mine"}, "the caller's own mapping stays as it is"


def test_response_request_is_the_request_that_was_sent(driver: Driver, site: Site) -> None:
    client = driver.ours(base_url=site.url)
    request = client.build_request("GET", "/")
    response = client.send(request)
    assert response.request is request
    assert isinstance(spanwire.report(response), spanwire.Report)


# -- redirects and cookies --------------------------------------------------------------------------------------------


def _hops(seen: Seen) -> Answer:
    match seen.path:
        case "/login":
            return Answer(302, b"", [("location", "/middle"), ("set-cookie", "sid=1"), ("set-cookie", "theme=dark")])
        case "/middle":
            return Answer(307, b"moved", {"location": "/end?page=2", "set-cookie": "hop=2"})
        case "/loop":
            return Answer(302, b"", {"location": "/loop"})
        case "/bad":
            return Answer(302, b"", {"location": "http://localhost:nope/"})
    return Answer()


def test_redirects_keep_their_history_and_the_cookies_of_every_hop(twins: Twins) -> None:
    twins.site.answer = _hops

    def story(client: Driven) -> object:
        response = client.post(f"{twins.site.url}/login", data={"a": "1"})
        return (
            [(hop.status_code, str(hop.url), hop.content) for hop in response.history],
            str(response.url),
            dict(client.client.cookies),
        )

    history, _, jar = twins(story, follow_redirects=True)
    assert [status for status, _, _ in history] == [302, 307]
    assert jar == {"sid": "1", "theme": "dark", "hop": "2"}
    assert set(twins.site.seen[2].headers["cookie"].split("; ")) == {"sid=1", "theme=dark", "hop=2"}
    assert (len(twins.telemetry.call_spans), kinds(twins.telemetry)) == (1, ["primary", "redirect", "redirect"])


def test_a_redirect_that_is_not_followed_gives_the_next_request(twins: Twins) -> None:
    twins.site.answer = _hops

    def story(client: Driven) -> object:
        first = client.get(f"{twins.site.url}/login")
        second = client.send(first.next_request)
        return first.status_code, first.has_redirect_location, second.status_code, str(second.next_request.url)

    assert twins(story)[:3] == (302, True, 307)
    assert len(twins.telemetry.call_spans) == 2, "two calls of the user's, two calls of ours"


def test_following_redirects_is_each_requests_choice(twins: Twins) -> None:
    twins.site.answer = _hops

    def story(client: Driven) -> object:
        one = client.get(f"{twins.site.url}/login", follow_redirects=True)
        other = client.get(f"{twins.site.url}/login", follow_redirects=False)
        return one.status_code, other.status_code

    assert twins(story) == (200, 302)


def test_too_many_redirects_are_httpx_error(twins: Twins) -> None:
    twins.site.answer = _hops
    kind, _ = twins(lambda client: client.get(f"{twins.site.url}/loop"), follow_redirects=True, max_redirects=3)
    assert kind is httpx.TooManyRedirects
    assert len(twins.site.seen) == 4
    assert outcomes(twins.telemetry) == ["failure"]


def test_an_impossible_location_is_httpx_error(twins: Twins) -> None:
    twins.site.answer = _hops
    kind, _ = twins(lambda client: client.get(f"{twins.site.url}/bad"), follow_redirects=True)
    assert kind is httpx.RemoteProtocolError


def test_a_redirect_to_another_origin_loses_the_authorization(twins: Twins, sites: object) -> None:
    other = sites()  # type: ignore[operator]
    twins.site.answer = lambda seen: Answer(302, b"", {"location": f"{other.url}/there"})
    twins(
        lambda client: client.get(twins.site.url, headers={"Authorization": "Bearer secret"}).status_code,
        follow_redirects=True,
    )
    assert twins.site.seen[0].headers["authorization"] == "Bearer secret"
    assert [seen.headers.get("authorization") for seen in other.seen] == [None, None]
    assert other.seen[1].headers["host"] == other.authority


def test_cookies_last_from_call_to_call(twins: Twins) -> None:
    twins.site.answer = _hops

    def story(client: Driven) -> object:
        client.get(f"{twins.site.url}/login")
        client.get(f"{twins.site.url}/end")
        client.client.cookies.clear()
        client.get(f"{twins.site.url}/end")
        return dict(client.client.cookies)

    assert twins(story) == {}
    assert [("cookie" in seen.headers) for seen in twins.site.seen] == [False, True, False]


# -- event hooks ------------------------------------------------------------------------------------------------------


def test_event_hooks_see_every_request_and_response(twins: Twins) -> None:
    twins.site.answer = _hops
    heard: list[object] = []
    hook = twins.driver.hook

    def story(client: Driven) -> list[object]:
        heard.clear()
        client.get(f"{twins.site.url}/login")
        return list(heard)

    assert twins(
        story,
        follow_redirects=True,
        event_hooks={
            "request": [hook(lambda request: heard.append(request.url.path))],
            "response": [hook(lambda response: heard.append((response.status_code, response.is_closed)))],
        },
    ) == ["/login", (302, False), "/middle", (307, False), "/end", (200, False)]


@pytest.mark.parametrize("which", ["request", "response"])
def test_a_hook_that_raises_ends_the_call_with_its_error_and_frees_the_connection(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, which: str
) -> None:
    armed = [True]

    def refuse(_: object) -> None:
        if armed:
            raise LookupError("the hook says no")

    client = driver.ours(
        event_hooks={which: [driver.hook(refuse)]}, limits=httpx.Limits(max_connections=1), **telemetry.providers
    )
    with pytest.raises(LookupError, match="the hook says no") as caught:
        client.get(site.url)
    assert spanwire.report(caught.value).outcome == "failure"
    armed.clear()
    assert client.get(site.url).status_code == 200
    assert outcomes(telemetry) == ["failure", "success"]


def test_a_response_hook_may_read_the_body(twins: Twins) -> None:
    bodies: list[bytes] = []

    def read(response: httpx.Response) -> None:
        bodies.append(response.read())

    async def aread(response: httpx.Response) -> None:
        bodies.append(await response.aread())

    hooks = {"response": [read if twins.driver.is_sync else aread]}
    assert twins(lambda client: client.get(twins.site.url).content, event_hooks=hooks) == b"ok"
    assert bodies == [b"ok", b"ok"]
