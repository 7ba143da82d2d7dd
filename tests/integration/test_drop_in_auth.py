"""httpx's authentication on our clients: every flow works as with httpx, and is one call with the attempts it takes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from pathlib import Path

import httpx
import pytest

from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driver, Seen, Site, Twins, kinds, outcomes


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "auth",
    [
        ("user", "secret"),
        httpx.BasicAuth("user", "secret"),
        lambda request: request.headers.update({"Authorization": _basic("user", "secret")}) or request,
    ],
    ids=["pair", "BasicAuth", "function"],
)
@pytest.mark.parametrize("given", ["to the client", "to the request"])
def test_credentials_arrive_whoever_gives_them(twins: Twins, auth: object, given: str) -> None:
    own = {"auth": auth} if given == "to the request" else {}
    default = {} if own else {"auth": auth}
    assert twins(lambda client: client.get(twins.site.url, **own).status_code, **default) == 200
    assert twins.site.seen[0].headers["authorization"] == _basic("user", "secret")
    assert kinds(twins.telemetry) == ["primary"]


def test_a_request_can_do_without_the_clients_credentials(twins: Twins) -> None:
    twins(lambda client: client.get(twins.site.url, auth=None).status_code, auth=("user", "secret"))
    assert "authorization" not in twins.site.seen[0].headers


def test_credentials_in_a_url_are_used(twins: Twins) -> None:
    twins(lambda client: client.get(f"http://user:secret@{twins.site.authority}/").status_code)
    assert twins.site.seen[0].headers["authorization"] == _basic("user", "secret")


def test_credentials_in_a_netrc_file_are_used(twins: Twins, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login user password secret")
    twins(lambda client: client.get(twins.site.url).status_code, auth=httpx.NetRCAuth(str(file)))
    assert twins.site.seen[0].headers["authorization"] == _basic("user", "secret")


def test_an_auth_that_is_none_is_refused_as_by_httpx(driver: Driver) -> None:
    for library in (driver.theirs, driver.ours):
        with pytest.raises(TypeError, match='Invalid "auth" argument'):
            library(auth=42)
        with pytest.raises(TypeError, match='Invalid "auth" argument'):
            library().get("http://x.test/", auth=42)


# -- challenges -------------------------------------------------------------------------------------------------------


def _challenging(seen: Seen) -> Answer:
    if "authorization" in seen.headers:
        return Answer(200, b"welcome")
    return Answer(401, b"who?", {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'})


def test_a_digest_challenge_is_answered_within_the_same_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = _challenging
    client = driver.ours(auth=httpx.DigestAuth("user", "secret"), **telemetry.providers)
    response = client.post(site.url, content=b"body")
    assert (response.status_code, [hop.status_code for hop in response.history]) == (200, [401])
    assert site.seen[1].headers["authorization"].startswith('Digest username="user"')
    assert [seen.body for seen in site.seen] == [b"body", b"body"]
    assert kinds(telemetry) == ["primary", "auth"]
    assert outcomes(telemetry) == ["success"]
    client.get(site.url)  # the nonce is known now
    assert kinds(telemetry) == ["primary", "auth", "primary"]


def test_a_challenge_that_cannot_be_met_is_the_answer(twins: Twins) -> None:
    twins.site.answer = lambda seen: Answer(401, b"no", {"www-authenticate": "Basic"})
    assert twins(lambda client: client.get(twins.site.url).status_code, auth=httpx.DigestAuth("u", "p")) == 401
    assert outcomes(twins.telemetry) == ["success"], "the origin answered; the 401 is the caller's to judge"


# -- flows of the user's own ------------------------------------------------------------------------------------------


class Repeating(httpx.Auth):
    """Sends the body of the refusal along with a second try."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code == 401:
            request.headers["X-Token"] = response.json()["token"]
            yield request


def test_a_flow_that_reads_the_refusal_answers_it(twins: Twins) -> None:
    twins.site.answer = lambda seen: Answer() if "x-token" in seen.headers else Answer(401, b'{"token": "t1"}')
    assert twins(lambda client: client.get(twins.site.url).status_code, auth=Repeating()) == 200
    assert twins.site.seen[1].headers["x-token"] == "t1"
    assert kinds(twins.telemetry) == ["primary", "auth"]


class Signing(httpx.Auth):
    """Signs the body."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Length"] = str(len(request.content))
        yield request


def test_a_flow_that_signs_the_body_reads_it_first(twins: Twins) -> None:
    def story(client: object) -> int:
        pieces = iter([b"one", b"two"])
        body = pieces if twins.driver.is_sync else _later(pieces)
        return client.post(twins.site.url, content=body).status_code  # type: ignore[attr-defined]

    assert twins(story, auth=Signing()) == 200
    assert twins.site.seen[0].headers["x-length"] == "6"


async def _later(pieces: object) -> object:
    for piece in pieces:  # type: ignore[attr-defined]
        yield piece


class Minting(httpx.Auth):
    """Gets a token by a request of its own, and again when it is refused."""

    requires_response_body = True

    def __init__(self, url: str) -> None:
        self.url, self.token = url, ""

    def mint(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", f"{self.url}/token", data={"grant_type": "client_credentials"})
        self.token = response.text

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self.token:
            yield from self.mint()
        request.headers["Authorization"] = f"Bearer {self.token}"
        if (yield request).status_code == 401:
            yield from self.mint()
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request


def _minting(valid: str) -> Callable[[Seen], Answer]:
    def answer(seen: Seen) -> Answer:
        if seen.path == "/token":
            return Answer(200, b"t%d" % seen.number)
        return Answer(200 if seen.headers["authorization"] == f"Bearer {valid}" else 401)

    return answer


def test_a_token_request_is_part_of_the_call_that_needs_it(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = _minting("t1")
    client = driver.ours(auth=Minting(site.url), **telemetry.providers)
    response = client.get(f"{site.url}/a")
    assert response.status_code == 200
    assert [seen.path for seen in site.seen] == ["/token", "/a"]
    assert kinds(telemetry) == ["auth", "primary"]
    assert len({span.context.trace_id for span in telemetry.spans}) == 1
    assert outcomes(telemetry) == ["success"]
    attributes = [span.attributes or {} for span in telemetry.attempt_spans]
    assert ["http.request.resend_count" in found for found in attributes] == [False, False], "each is sent once"
    assert "spanwire.notable" not in (telemetry.call_spans[0].attributes or {}), "nothing out of the ordinary"


def test_a_flow_that_inherits_from_httpx_own_may_make_requests_too(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    class Mixed(Minting, httpx.BasicAuth):
        """Basic credentials that turn out to be for a token endpoint."""

    site.answer = _minting("t1")
    driver.ours(auth=Mixed(site.url), **telemetry.providers).get(f"{site.url}/a")
    assert kinds(telemetry) == ["auth", "primary"]
    assert len(telemetry.call_spans) == 1


def test_a_refused_token_is_minted_anew_within_the_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = _minting("t3")
    client = driver.ours(auth=Minting(site.url), **telemetry.providers)
    assert client.get(f"{site.url}/a").status_code == 200
    assert [seen.path for seen in site.seen] == ["/token", "/a", "/token", "/a"]
    assert kinds(telemetry) == ["auth", "primary", "auth", "auth"]
    attributes = [span.attributes or {} for span in telemetry.attempt_spans]
    assert [found.get("http.request.resend_count") for found in attributes] == [None, None, None, 1]
    assert len(telemetry.call_spans) == 1


def test_a_token_request_is_followed_over_a_redirect_as_part_of_the_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    def answer(seen: Seen) -> Answer:
        if seen.path == "/token":
            return Answer(307, b"", {"location": "/token2"})
        return Answer(200, b"t1")

    site.answer = answer
    client = driver.ours(auth=Minting(site.url), follow_redirects=True, **telemetry.providers)
    assert client.get(f"{site.url}/a").status_code == 200
    assert [seen.path for seen in site.seen] == ["/token", "/token2", "/a"]
    assert kinds(telemetry) == ["auth", "auth", "primary"]
    assert len(telemetry.call_spans) == 1


def test_a_flow_that_fails_ends_the_call_with_its_error(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    class Broken(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            yield request
            raise LookupError("no token here")

    client = driver.ours(auth=Broken(), limits=httpx.Limits(max_connections=1), **telemetry.providers)
    with pytest.raises(LookupError, match="no token here"):
        client.get(site.url)
    assert client.get(site.url, auth=None).status_code == 200
    assert outcomes(telemetry) == ["failure", "success"]


def test_one_flow_of_two_colours_is_the_one_that_fits(driver: Driver, site: Site) -> None:
    class Coloured(httpx.Auth):
        def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            request.headers["X-Flow"] = "sync"
            yield request

        async def async_auth_flow(self, request: httpx.Request):  # type: ignore[no-untyped-def]
            request.headers["X-Flow"] = "async"
            yield request

    driver.ours(auth=Coloured()).get(site.url)
    assert site.seen[0].headers["x-flow"] == ("sync" if driver.is_sync else "async")


def test_credentials_do_not_follow_a_redirect_to_another_origin(twins: Twins, sites: Callable[[], Site]) -> None:
    other = sites()
    twins.site.answer = lambda seen: Answer(302, b"", {"location": f"{other.url}/there"})
    twins(lambda client: client.get(twins.site.url).status_code, auth=("user", "secret"), follow_redirects=True)
    assert ["authorization" in seen.headers for seen in other.seen] == [False, False]
