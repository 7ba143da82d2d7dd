"""Nothing secret leaves, whatever goes wrong: not by spans, metrics, events, logs, reports, reprs or messages."""

from __future__ import annotations

import json
import os
import pickle
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

import spanwire
from spanwire import CircuitBreaker, Connection, Fallback, Fixed, LoggingInterceptor, Policy, Retry, Timeout
from spanwire.signals import EVERYWHERE
from spanwire.telemetry import log_decisions
from spanwire.testing import Answer as Faulty
from spanwire.testing import FakeClock, FaultyOrigin, SpanwireTelemetry
from tests.integration.support import Answer, Driver, Seen, Site

CANARY = "CANARY5f3a"
QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
ONCE = Policy(retry=None, circuit_breaker=None)


class Leaks:
    """Gathers all that is shown, told and written in a test."""

    def __init__(
        self, told: SpanwireTelemetry, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.told, self.caplog, self.capfd = told, caplog, capfd
        self.shown: list[str] = []

    def show(self, *things: object) -> None:
        """What a person sees of these, or keeps of them."""
        for thing in things:
            self.shown += [str(thing), repr(thing)]
            if isinstance(thing, httpx.Response | BaseException):
                self.report(spanwire.report(thing))

    def report(self, report: spanwire.Report) -> None:
        kept = pickle.dumps(report)
        self.shown += [str(report), repr(report), json.dumps(report.as_dict()), repr(kept), str(pickle.loads(kept))]
        self.shown += [repr(attempt) for attempt in report.attempts] + [repr(one) for one in report.decisions]

    def client(self, client: Any) -> None:
        """What can be seen of a client."""
        inner = getattr(client, "client", client)
        transports = [inner._transport, *inner._mounts.values()]
        self.shown += [repr(inner), json.dumps(client.metrics(), default=str), str(client.policy), repr(client.policy)]
        self.shown += [repr(one) for one in (*transports, client.interceptors, dict(client.circuit_breakers))]
        self.shown += [client.policy.hash, str(client.policy.limits()), repr(inner._engine)]

    def all_of_it(self) -> str:
        records = [record for record in self.caplog.records if record.name.startswith("spanwire")]
        written = [record.getMessage() + str(vars(record)) for record in records]
        written += [self.caplog.handler.format(record) for record in records]
        return "\n".join([*self.shown, *written, self.told.everything(), *self.capfd.readouterr()])

    def none(self) -> None:
        found = [line for line in self.all_of_it().splitlines() if CANARY.lower() in line.lower()]
        assert not found


@pytest.fixture
def leaks(
    telemetry: SpanwireTelemetry, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Leaks]:
    caplog.set_level("DEBUG", logger="spanwire")
    before = list(EVERYWHERE)
    log_decisions("debug")
    yield Leaks(telemetry, caplog, capfd)
    EVERYWHERE[:] = before


def secret(url: str, path: str = "/a") -> str:
    """A URL full of secrets: name and password, query, a lone word in it, fragment."""
    return f"{url.replace('://', f'://u{CANARY}:p{CANARY}@')}{path}?token={CANARY}&a=%43{CANARY}&{CANARY}#{CANARY}"


GIVEN: dict[str, Any] = {
    "headers": {"X-Api-Key": CANARY, "Authorization": f"Bearer {CANARY}"},
    "cookies": {"session": CANARY},
    "params": {"api_key": CANARY},
}


@pytest.mark.parametrize("wire", ["httpcore2", "httpx"])
def test_a_call_that_is_full_of_secrets_shows_none(driver: Driver, site: Site, leaks: Leaks, wire: str) -> None:
    def answer(seen: Seen) -> Answer:
        return Answer(503 if seen.number < 3 else 200, CANARY.encode(), {"set-cookie": f"s={CANARY}", "x-t": CANARY})

    site.answer = answer
    policy = Policy(retry=Retry(backoff=Fixed(seconds=0.001)), connection=Connection(wire=wire))  # type: ignore[arg-type]
    client = driver.ours(
        policy=policy,
        interceptors=[LoggingInterceptor(), LoggingInterceptor(around="attempt")],
        **GIVEN,
        **leaks.told.providers,
    )
    response = client.request("PUT", secret(site.url), content=CANARY, auth=("u", CANARY))
    assert (len(site.seen), response.status_code) == (3, 200)
    assert CANARY in str(site.seen[0].headers) + site.seen[0].target, "the origin gets them all the same"
    leaks.report(spanwire.report(response))
    leaks.client(client)
    with client.stream("POST", secret(site.url), data={"password": CANARY}) as streamed:
        streamed.read()
    leaks.report(spanwire.report(streamed.response))
    leaks.none()


def test_a_base_url_with_credentials_names_the_client_by_its_host(driver: Driver, site: Site, leaks: Leaks) -> None:
    client = driver.ours(base_url=secret(site.url, ""), **leaks.told.providers)
    client.get("/a")
    assert client.name == "127.0.0.1"
    leaks.client(client)
    leaks.none()


def test_a_redirect_to_a_url_with_a_token_shows_none(driver: Driver, site: Site, leaks: Leaks) -> None:
    site.answer = lambda seen: Answer(302, b"", {"location": secret(site.url, "/b")}) if seen.path == "/a" else Answer()
    client = driver.ours(follow_redirects=True, **leaks.told.providers)
    response = client.get(f"{site.url}/a")
    assert CANARY in site.seen[1].target
    leaks.report(spanwire.report(response))
    leaks.none()


def test_a_redirect_that_cannot_be_followed_shows_none(driver: Driver, site: Site, leaks: Leaks) -> None:
    site.answer = lambda seen: Answer(302, b"", {"location": f"http://u:{CANARY}@h:{CANARY}/?token={CANARY}"})
    client = driver.ours(follow_redirects=True, **leaks.told.providers)
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        client.get(site.url)
    leaks.report(spanwire.report(caught.value))  # the message is httpx's own
    leaks.none()


# -- errors -----------------------------------------------------------------------------------------------------------


def test_errors_of_every_kind_show_none(driver: Driver, origin: FaultyOrigin, nobody: str, leaks: Leaks) -> None:
    faults: list[Any] = ["garbage", "hang_up", "truncate", "reset", "reset_midway"]
    origin.script(*[Faulty(fault=fault, body=CANARY * 9, headers={"X-T": CANARY}) for fault in faults])
    client = driver.ours(policy=ONCE, **GIVEN, **leaks.told.providers)
    for url in [origin.url] * 5 + [nobody, "ftp://x.test"]:
        with pytest.raises(httpx.TransportError) as caught:
            client.get(secret(url))
        leaks.show(caught.value)
    leaks.none()


def test_our_own_errors_show_none(driver: Driver, site: Site, leaks: Leaks) -> None:
    site.script(500)
    policy = Policy(
        retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.001), raise_on_exhausted=True),
        circuit_breaker=CircuitBreaker(consecutive_failures=2),
    )
    client = driver.ours(policy=policy, **leaks.told.providers)
    for kind in (spanwire.RetryExhausted, spanwire.CircuitOpen):
        with pytest.raises(kind) as caught:
            client.get(secret(site.url))
        leaks.show(caught.value)
    site.answer = site.stall
    slow = driver.ours(policy=Policy(timeout=Timeout(total=0.05), retry=None), **leaks.told.providers)
    with pytest.raises(spanwire.DeadlineExceeded) as deadline:
        slow.get(secret(site.url))
    leaks.show(deadline.value)
    leaks.client(client)
    leaks.none()


@pytest.mark.parametrize("how", ["for the client", "for the call", "streamed"])
def test_a_status_that_is_raised_shows_none(driver: Driver, site: Site, leaks: Leaks, how: str) -> None:
    site.answer = lambda seen: Answer(404, CANARY.encode(), {"location": secret(site.url)})
    client = driver.ours(raise_for_status=how != "for the call", **leaks.told.providers)
    asked = spanwire.override(raise_for_status=True) if how == "for the call" else {}

    def streamed(url: str, **named: Any) -> None:
        with client.stream("GET", url, **named):
            raise AssertionError

    send = streamed if how == "streamed" else client.get
    with pytest.raises(httpx.HTTPStatusError) as caught:
        send(secret(site.url), extensions=asked)
    leaks.show(caught.value)
    leaks.none()


def _raises(*_: object) -> Any:
    raise LookupError(f"https://u:{CANARY}@h/?token={CANARY} is {CANARY}")


class Interceptor:
    def __init__(self, hook: str, around: str) -> None:
        self.around = around
        setattr(self, hook, _raises)


@pytest.mark.parametrize("around", ["call", "attempt"])
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_what_an_interceptor_raises_is_the_callers_alone(
    driver: Driver, site: Site, leaks: Leaks, hook: str, around: str
) -> None:
    client = driver.ours(policy=QUICK, interceptors=[Interceptor(hook, around)], **leaks.told.providers)
    with pytest.raises(LookupError, match=CANARY) as caught:
        client.get(site.url)
    leaks.report(spanwire.report(caught.value))
    leaks.client(client)
    leaks.none()


@pytest.mark.parametrize("where", ["transport", "hook", "auth", "fallback", "should_retry", "on_retry"])
def test_what_the_users_code_raises_is_the_callers_alone(driver: Driver, leaks: Leaks, where: str) -> None:
    class Auth(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            yield request
            _raises()

    handler = _raises if where == "transport" else lambda request: httpx.Response(503)
    retry = Retry(
        backoff=Fixed(seconds=0.001),
        should_retry=_raises if where == "should_retry" else None,
        on_retry=_raises if where == "on_retry" else None,
    )
    client = driver.ours(
        transport=driver.transport(handler),
        policy=Policy(retry=retry, fallback=Fallback(function=_raises) if where == "fallback" else None),
        event_hooks={"response": [driver.hook(_raises)] if where == "hook" else []},
        auth=Auth() if where == "auth" else None,
        **leaks.told.providers,
    )
    with pytest.raises(LookupError, match=CANARY) as caught:
        client.get("http://x.test/")
    leaks.report(spanwire.report(caught.value))
    leaks.client(client)
    leaks.none()


def test_what_a_listener_raises_is_counted_and_not_shown(driver: Driver, site: Site, leaks: Leaks) -> None:
    class Listener(spanwire.Listener):
        opened = closed = attempt = decided = wait = _raises

        def __repr__(self) -> str:
            return f"<Listener {CANARY}>"

    site.script(503, 200)
    client = driver.ours(policy=QUICK, listeners=[Listener()], **leaks.told.providers)
    assert client.get(site.url).status_code == 200
    assert leaks.told.metric("spanwire.telemetry.dropped", kind="listener") >= 4
    assert "LookupError" in leaks.all_of_it(), "its class and place are written"
    leaks.client(client)
    leaks.none()


def test_what_a_span_processor_raises_is_not_shown(driver: Driver, site: Site, leaks: Leaks) -> None:
    class Processor(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            _raises()

    leaks.told.tracer_provider.add_span_processor(Processor())
    assert driver.ours(**leaks.told.providers).get(secret(site.url)).status_code == 200
    leaks.none()


# -- proxies and certificates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["argument", "policy", "environment"])
def test_a_proxys_credentials_are_shown_nowhere(
    driver: Driver, sites: Callable[[], Site], leaks: Leaks, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    proxy = sites()
    url = f"http://u{CANARY}:p{CANARY}@{proxy.authority}"
    if given == "environment":
        monkeypatch.setenv("ALL_PROXY", url)
    client = driver.ours(
        policy=Policy(connection=Connection(proxy=url if given == "policy" else None), retry=None),  # type: ignore[arg-type]
        **({"proxy": url} if given == "argument" else {}),
        **leaks.told.providers,
    )
    leaks.show(client.get("http://origin.test/"))
    assert "proxy-authorization" in proxy.seen[0].headers
    proxy.answer = lambda seen: Answer(407, CANARY.encode(), {"Proxy-Authenticate": CANARY})
    leaks.show(client.get("http://origin.test/"))
    with pytest.raises(httpx.ProxyError) as caught:
        client.get("https://origin.test/")
    leaks.show(caught.value)
    leaks.client(client)
    leaks.shown += [
        client.policy.model_dump_json(),
        str(client.policy.model_dump()),
        str(vars(client.policy.connection)),
    ]
    leaks.none()


@pytest.mark.parametrize(
    "url", [f"gopher://u:{CANARY}@h", f"http://u:{CANARY}@", f"http://u:{CANARY}@h:{CANARY}", CANARY]
)
def test_a_proxy_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(spanwire.ConfigurationError) as caught:
        Connection(proxy=url)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value) + repr(caught.value)
    assert "proxy" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_clients_key_and_its_password_are_shown_nowhere(driver: Driver, leaks: Leaks, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate = trustme.CA().issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(CANARY.encode()),
        )
    )
    files = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    context = ssl.create_default_context()
    context.load_cert_chain(*files, password=CANARY)
    client = driver.ours(verify=context, transport=driver.transport(lambda request: httpx.Response(200)))
    leaks.show(client.get("http://x.test/"))
    leaks.client(client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # httpx's, of `cert=`
        made = spanwire.Client if driver.is_sync else spanwire.AsyncClient
        with pytest.raises(ssl.SSLError) as caught:
            made(cert=(*files, f"wrong{CANARY}"))
    leaks.shown += [str(caught.value), repr(caught.value)]
    with pytest.raises(spanwire.ConfigurationError, match="key is encrypted") as refused:
        made(policy=Policy(connection=Connection(cert_file=files[0], key_file=files[1])))  # type: ignore[arg-type]
    leaks.shown += [str(refused.value)]
    leaks.none()


# -- what is refused --------------------------------------------------------------------------------------------------


class Odd:
    def __repr__(self) -> str:
        return f"<Odd {CANARY}>"


@pytest.mark.parametrize(
    "build",
    [
        lambda: spanwire.Client(policy={"token": CANARY}),  # type: ignore[arg-type]
        lambda: spanwire.Client(interceptors=[{"Authorization": CANARY}]),
        lambda: spanwire.Client(interceptors=[Odd()]),
        lambda: spanwire.Client(tracer_provider=Odd()),
        lambda: spanwire.Client(listeners=[Odd()]),  # type: ignore[list-item]
        lambda: spanwire.Client(name=Odd()),  # type: ignore[arg-type]
        lambda: spanwire.Client(transport=Odd()),
        lambda: spanwire.Client().interceptors.remove(Odd()),
        lambda: Policy(fallback={"response": {"headers": {"Authorization": CANARY}, "status": 9}}),  # type: ignore[arg-type]
        lambda: spanwire.override(cache=CANARY),
        lambda: spanwire.override(retry={"token": CANARY}),
    ],
)
def test_what_is_refused_is_named_but_not_shown(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        build()
    assert CANARY not in str(caught.value) + repr(caught.value)


# -- what may be shown ------------------------------------------------------------------------------------------------

SHOWING = """
import httpx, spanwire
from spanwire.redact import redacted
print(redacted(httpx.URL("https://h/a?page=2&sig=s1&token=t1&X-Amz-Signature=s2")))
"""


@pytest.mark.parametrize(
    ("allowed", "shown"),
    [
        ("", "https://h/a?page=REDACTED&sig=REDACTED&token=REDACTED&X-Amz-Signature=REDACTED"),
        ("page", "https://h/a?page=2&sig=REDACTED&token=REDACTED&X-Amz-Signature=REDACTED"),
        ("*", "https://h/a?page=2&sig=REDACTED&token=t1&X-Amz-Signature=REDACTED"),
        ("sig,X-Amz-Signature", "https://h/a?page=REDACTED&sig=REDACTED&token=REDACTED&X-Amz-Signature=REDACTED"),
    ],
)
def test_query_values_are_shown_where_the_service_allows_it_but_never_signatures(allowed: str, shown: str) -> None:
    environment = {"SPANWIRE_SHOW_QUERY": allowed, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", SHOWING], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout.strip() == shown


def test_a_clock_and_a_report_of_a_call_under_way_show_none(site: Site, leaks: Leaks, clock: FakeClock) -> None:
    class Peeking(spanwire.Listener):
        def attempt(self, call: Any, attempt: Any, request: httpx.Request) -> None:
            leaks.shown.append(repr(call) + repr(attempt) + repr(clock))

    class Looking:
        def on_request(self, request: httpx.Request, context: spanwire.Context) -> None:
            leaks.shown.append(repr(context))

    with spanwire.Client(clock=clock, listeners=[Peeking()], interceptors=[Looking()], **GIVEN) as client:
        client.get(secret(site.url))
    assert len(leaks.shown) == 2
    leaks.none()
