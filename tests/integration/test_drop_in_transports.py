"""What is below a client, httpx's ways to say so, and that our policies apply wherever a request goes."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

import spanwire
from spanwire import Connection, Fixed, Policy, Retry, Timeout
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driven, Driver, Seen, Site, Twins, kinds

QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
ONCE = Policy(retry=None, circuit_breaker=None)


def forward(seen: Seen) -> Answer:
    """What a forward proxy answers: what the origin of an absolute target says."""
    target = urlsplit(seen.target)
    upstream = http.client.HTTPConnection(target.hostname or "", target.port)
    try:
        upstream.request(seen.method, target.path or "/", seen.body, {"X-Via": "proxy"})
        response = upstream.getresponse()
        return Answer(response.status, response.read())
    finally:
        upstream.close()


@pytest.fixture
def proxy(sites: Callable[[], Site]) -> Site:
    proxy = sites()
    proxy.answer = forward
    return proxy


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used_and_the_policies_apply_there(
    driver: Driver, site: Site, proxy: Site, telemetry: SpanwireTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    site.script(503, 200)
    client = driver.ours(policy=QUICK, **telemetry.providers)
    assert client.get(f"{site.url}/a").status_code == 200
    assert [seen.target for seen in proxy.seen] == [f"{site.url}/a"] * 2
    assert [seen.headers["x-via"] for seen in site.seen] == ["proxy"] * 2
    assert kinds(telemetry) == ["primary", "retry"]
    assert list(client.circuit_breakers) == [site.url], "the origin is judged, and not the proxy"
    assert [(span.attributes or {})["server.port"] for span in telemetry.attempt_spans] == [urlsplit(site.url).port] * 2


def test_hosts_without_a_proxy_and_clients_without_the_environment_go_straight(
    driver: Driver, site: Site, proxy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    driver.ours(trust_env=False).get(site.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    driver.ours().get(site.url)
    assert (len(proxy.seen), len(site.seen)) == (0, 2)


def test_a_given_transport_goes_before_the_environments_proxies(
    driver: Driver, proxy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    client = driver.ours(transport=driver.transport(lambda request: httpx.Response(204)))
    assert client.get("http://x.test/").status_code == 204
    assert not proxy.seen


@pytest.mark.parametrize("form", [str, httpx.URL, lambda url: httpx.Proxy(url, headers={"X-Hop": "1"})])
def test_a_proxy_is_given_in_each_of_httpx_forms(
    driver: Driver, site: Site, proxy: Site, telemetry: SpanwireTelemetry, form: Callable[[str], object]
) -> None:
    site.script(503, 200)
    url = f"http://user:pass@{proxy.authority}"
    client = driver.ours(proxy=form(url), policy=QUICK, **telemetry.providers)
    assert client.get(f"{site.url}/a").status_code == 200
    assert [seen.headers["proxy-authorization"] for seen in proxy.seen] == ["Basic dXNlcjpwYXNz"] * 2
    assert kinds(telemetry) == ["primary", "retry"]


def test_httpx_proxy_argument_wins_over_the_policys(driver: Driver, site: Site, proxy: Site, nobody: str) -> None:
    policy = Policy(connection=Connection(proxy=nobody), retry=None)
    driver.ours(policy=policy, proxy=proxy.url).get(site.url)
    assert len(proxy.seen) == 1
    with pytest.raises(httpx.ConnectError):
        driver.ours(policy=policy).get(site.url)
    driver.ours(policy=Policy(connection=Connection(proxy=proxy.url))).get(site.url)
    assert len(proxy.seen) == 2


# -- mounts and transports --------------------------------------------------------------------------------------------


def test_mounts_are_chosen_as_by_httpx_and_the_policies_apply_there(
    driver: Driver, site: Site, proxy: Site, telemetry: SpanwireTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    answers = iter([503, 200, 201])
    client = driver.ours(
        mounts={
            "all://mounted.test": driver.transport(lambda request: httpx.Response(next(answers))),
            site.url: None,
        },
        policy=QUICK,
        **telemetry.providers,
    )
    assert client.get("https://mounted.test/").status_code == 200
    assert client.get("http://mounted.test:8080/").status_code == 201
    assert client.get(site.url).status_code == 200
    assert (len(site.seen), len(proxy.seen)) == (1, 0), "None is the client's own transport"
    assert kinds(telemetry) == ["primary", "retry", "primary", "primary"]


def test_one_breaker_serves_all_mounts_of_a_client(driver: Driver) -> None:
    failing = driver.transport(lambda request: httpx.Response(500))
    policy = Policy(retry=None, circuit_breaker=spanwire.CircuitBreaker(consecutive_failures=2, scope="client"))
    client = driver.ours(mounts={"http://a.test": failing, "http://b.test": failing}, policy=policy, name="both")
    client.get("http://a.test/")
    client.get("http://b.test/")
    with pytest.raises(spanwire.CircuitOpen):
        client.get("http://c.test/")


def test_a_given_transport_is_wrapped_and_not_bypassed(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    answers = iter([503, 200])
    transport = driver.transport(lambda request: httpx.Response(next(answers)))
    client = driver.ours(transport=transport, policy=QUICK, **telemetry.providers)
    assert client.get("http://x.test/").status_code == 200
    assert kinds(telemetry) == ["primary", "retry"]


def test_an_application_is_called_in_process(driver: Driver) -> None:
    def wsgi(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("content-type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    transport = httpx.WSGITransport(app=wsgi) if driver.is_sync else httpx.ASGITransport(app=asgi)
    assert driver.ours(transport=transport).get("http://x.test/a").text == "/a"


class _Duck:
    """A transport that is one by its methods alone, as httpx lets it be."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    def __enter__(self) -> None:
        self.heard.append("enter")

    def __exit__(self, *_: object) -> None:
        self.heard.append("exit")

    def close(self) -> None:
        self.heard.append("close")

    async def __aenter__(self) -> None:
        self.heard.append("enter")

    async def __aexit__(self, *_: object) -> None:
        self.heard.append("exit")

    async def aclose(self) -> None:
        self.heard.append("close")

    def __bool__(self) -> bool:
        return False


@pytest.mark.parametrize("entered", [True, False])
def test_transports_and_mounts_are_entered_and_closed_as_by_httpx(driver: Driver, entered: bool) -> None:
    heard = []
    for library in (httpx, spanwire):
        transport, mount = _Duck(), _Duck()
        client = driver.of(library, transport=transport, mounts={"http://a.test": mount, "http://b.test": None})
        if entered:
            client.enter()
        assert client.get("http://a.test/").status_code == client.get("http://x.test/").status_code == 200
        if entered:
            driver.run(
                client.client.__exit__(None, None, None)
                if driver.is_sync
                else client.client.__aexit__(None, None, None)
            )
        client.close()
        heard.append((transport.heard, mount.heard))
    assert heard[0] == heard[1]
    assert heard[0][0] == (["enter", "exit"] if entered else ["close"])


def test_our_transport_serves_httpx_client(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    site.script(503, 200)
    made = spanwire.Transport if driver.is_sync else spanwire.AsyncTransport
    client = driver.theirs(transport=made(QUICK, **telemetry.providers))
    assert client.get(site.url).status_code == 200
    assert kinds(telemetry) == ["primary", "retry"]
    assert len(telemetry.call_spans) == 1


def test_our_transport_around_another_serves_httpx_client(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    answers = iter([503, 200])
    inner = driver.transport(lambda request: httpx.Response(next(answers)))
    made = spanwire.Transport if driver.is_sync else spanwire.AsyncTransport
    client = driver.theirs(transport=made(QUICK, inner, name="inner", **telemetry.providers))
    assert client.get("http://x.test/").status_code == 200
    assert (telemetry.call_spans[0].attributes or {})["spanwire.client.name"] == "inner"


def test_a_stream_through_our_transport_ends_its_call_when_it_is_closed(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"a", b"b"]))
    made = spanwire.Transport if driver.is_sync else spanwire.AsyncTransport
    client = driver.theirs(transport=made(QUICK, **telemetry.providers))
    with client.stream("GET", site.url) as response:
        assert not telemetry.call_spans
        assert response.read() == b"ab"
    assert [(span.attributes or {})["spanwire.outcome"] for span in telemetry.call_spans] == ["success"]


@pytest.mark.parametrize("wire", ["httpcore2", "httpx", "aiohttp"])
def test_every_wire_carries_calls_streams_and_uploads(colour: Any, site: Site, wire: str) -> None:
    driver = Driver(colour)
    if wire == "aiohttp" and colour.name != "asyncio":
        pytest.skip("aiohttp serves asyncio only")
    site.answer = lambda seen: Answer(200, iter([seen.body, b"end"])) if seen.method == "POST" else Answer()
    client = driver.ours(policy=Policy(connection=Connection(wire=wire)))  # type: ignore[arg-type]
    assert client.get(site.url).text == "ok"
    with client.stream("POST", site.url, content=b"body") as response:
        assert b"".join(response.iter_bytes()) == b"bodyend"
    client.close()


# -- timeouts and limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["to the client", "to the request"])
def test_httpx_timeouts_win_over_the_policys(twins: Twins, given: str) -> None:
    twins.ours = {"policy": ONCE}
    twins.site.answer = twins.site.stall
    own = {"timeout": httpx.Timeout(5, read=0.05)}
    client_wide, each = (own, {}) if given == "to the client" else ({}, own)
    kind, _ = twins(lambda client: client.get(twins.site.url, **each), **client_wide)
    assert kind is httpx.ReadTimeout


def test_the_policys_timeouts_are_httpx_ones_where_none_are_given(driver: Driver, site: Site) -> None:
    site.answer = site.stall
    client = driver.ours(policy=Policy(timeout=Timeout(read=0.05), retry=None))
    assert client.client.timeout == httpx.Timeout(connect=5, read=0.05, write=5, pool=2)
    with pytest.raises(httpx.ReadTimeout):
        client.get(site.url)


def test_no_timeout_is_no_timeout_of_a_phase(driver: Driver) -> None:
    asked: list[object] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"])
        return httpx.Response(200)

    policy = Policy(timeout=Timeout(total=None, attempt=None))
    client = driver.ours(policy=policy, transport=driver.transport(handler), timeout=None)
    client.get("http://x.test/")
    client.get("http://x.test/", timeout=3)
    driver.ours(policy=Policy(timeout=None), transport=driver.transport(handler)).get("http://x.test/")
    nothing = dict.fromkeys(("connect", "read", "write", "pool"))
    assert asked == [nothing, dict.fromkeys(nothing, 3), dict.fromkeys(nothing, 5.0)]


def test_limits_bound_the_pool(twins: Twins) -> None:
    def body() -> Iterator[bytes]:
        yield b"first"
        twins.site.gate.wait(5)

    twins.site.answer = lambda seen: Answer(200, body())
    twins.ours = {"policy": ONCE}

    def story(client: Driven) -> None:
        with client.stream("GET", twins.site.url):
            client.get(twins.site.url)

    kind, _ = twins(story, limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(5, pool=0.02))
    assert kind is httpx.PoolTimeout


# -- TLS and HTTP/2 ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(sites: Callable[..., Site], authority: trustme.CA) -> Site:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return sites(tls=context)


def test_certificates_are_verified_as_httpx_is_told(driver: Driver, secure: Site, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    assert driver.ours(verify=trusting).get(secure.url).status_code == 200
    assert driver.ours(verify=False).get(secure.url).status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        driver.ours(policy=ONCE).get(secure.url)


def test_the_policy_can_name_the_authority(driver: Driver, secure: Site, authority: trustme.CA, tmp_path: Any) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    client = (spanwire.Client if driver.is_sync else spanwire.AsyncClient)(
        policy=Policy(connection=Connection(ca_file=file))
    )
    driver.colour._clients.append(client)
    assert driver.run(client.get(secure.url)).status_code == 200


def test_http2_is_accepted_and_http1_spoken_where_the_origin_has_no_other(driver: Driver, site: Site) -> None:
    assert driver.ours(http2=True).get(site.url).http_version == "HTTP/1.1"
    assert driver.ours(http1=True, http2=False).get(site.url).http_version == "HTTP/1.1"
