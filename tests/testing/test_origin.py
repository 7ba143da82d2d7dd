"""The faulty origin: each answer and each fault, as an innocent client meets it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from spanwire.testing import Answer, FaultyOrigin, Seen


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5) as client:
        yield client


# -- answers ---------------------------------------------------------------------------------------------------------


def test_it_answers_200_unless_it_is_told_otherwise(origin: FaultyOrigin, client: httpx.Client) -> None:
    response = client.get(origin.url)
    assert (response.status_code, response.reason_phrase, response.text) == (200, "OK", "ok")


def test_a_script_is_followed_and_its_last_step_repeated(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(503, Answer(429, headers={"Retry-After": "1"}, body="slow down"), 200)
    responses = [client.get(origin.url) for _ in range(4)]
    assert [response.status_code for response in responses] == [503, 429, 200, 200]
    assert (responses[1].headers["retry-after"], responses[1].text) == ("1", "slow down")


def test_a_path_can_have_a_script_of_its_own(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(503, 204, path="/flaky")
    targets = ("/flaky?a=1", "/", "/flaky")
    assert [client.get(origin.url + target).status_code for target in targets] == [503, 200, 204]


def test_a_step_can_be_a_function_of_the_request(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(lambda seen: Answer(body=seen.method + seen.target))
    assert client.put(origin.url + "/x?y=1").text == "PUT/x?y=1"


def test_a_function_that_fails_is_told_by_a_500(origin: FaultyOrigin, client: httpx.Client) -> None:
    def failing(seen: Seen) -> int:
        raise KeyError(seen.path)

    origin.script(failing)
    response = client.get(origin.url)
    assert response.status_code == 500
    assert "KeyError: '/'" in response.text


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_none(origin: FaultyOrigin, client: httpx.Client, status: int) -> None:
    origin.script(status)
    assert [client.get(origin.url).content for _ in range(2)] == [b"", b""]
    assert origin.connections == 1


def test_head_is_answered_without_the_body(origin: FaultyOrigin, client: httpx.Client) -> None:
    response = client.head(origin.url)
    assert (response.headers["content-length"], response.content) == ("2", b"")
    assert client.get(origin.url).content == b"ok"


def test_a_body_can_drip(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(body="abcdef", drip=0.0, pieces=3))
    with client.stream("GET", origin.url) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert b"".join(response.iter_raw()) == b"abcdef"
    assert client.get(origin.url).text == "abcdef"
    assert origin.connections == 1


def test_an_answer_can_be_delayed(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(delay=5))
    with pytest.raises(httpx.ReadTimeout):
        client.get(origin.url, timeout=0.05)


# -- what it remembers -----------------------------------------------------------------------------------------------


def test_it_remembers_what_it_was_asked(origin: FaultyOrigin, client: httpx.Client) -> None:
    client.post(origin.url + "/x?y=1", content=b"abc", headers={"X-One": "1"})
    client.post(origin.url, content=iter([b"ab", b"c"]))
    first, second = origin.requests
    assert (first.method, first.target, first.path, first.body) == ("POST", "/x?y=1", "/x", b"abc")
    assert (first.headers["x-one"], first.connection) == ("1", 1)
    assert (second.body, second.headers["transfer-encoding"], second.connection) == (b"abc", "chunked", 1)


def test_it_counts_connections_and_requests_under_way(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(hold=True))
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(client.get, origin.url) for _ in range(3)]
        origin.until(lambda it: it.held == 3)
        assert (origin.connections, origin.open_connections, origin.most_concurrent) == (3, 3, 3)
        assert "3 requests on 3 connections, 3 open, 3 held" in repr(origin)
        origin.release()
        assert [answer.result().status_code for answer in waiting] == [200, 200, 200]
    assert origin.held == 0


def test_release_lets_go_only_of_what_is_held(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(hold=True))
    origin.release()
    with pytest.raises(httpx.ReadTimeout):
        client.get(origin.url, timeout=0.05)


def test_it_notices_when_a_client_goes_away_before_the_answer(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(hold=True), Answer(delay=5))
    for number in (1, 2):
        with pytest.raises(httpx.ReadTimeout):
            client.get(origin.url, timeout=0.02)
        origin.until(lambda it, number=number: it.abandoned == number)  # type: ignore[misc]
    origin.until(lambda it: it.held == it.open_connections == 0)


def test_waiting_for_what_does_not_come_ends(origin: FaultyOrigin) -> None:
    with pytest.raises(TimeoutError, match=r"0 requests on 0 connections, 0 open, 0 held> has not come .* in 0.01 s"):
        origin.until(lambda it: it.held, 0.01)


# -- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_kept_unless_it_is_told_otherwise(client: httpx.Client) -> None:
    with FaultyOrigin() as keeping, FaultyOrigin(keep_alive=False) as closing:
        for origin in (keeping, closing) * 2:
            client.get(origin.url)
        assert (keeping.connections, closing.connections) == (1, 2)


def test_one_answer_can_close_its_connection(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(close=True), 200)
    assert client.get(origin.url).headers["connection"] == "close"
    client.get(origin.url)
    assert origin.connections == 2


def test_it_can_close_a_connection_without_saying_so(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(close="silently"), 200)
    assert "connection" not in client.get(origin.url).headers
    origin.until(lambda it: it.open_connections == 0)


def test_it_can_refuse_connections_and_accept_them_again(origin: FaultyOrigin, client: httpx.Client) -> None:
    client.get(origin.url)
    origin.refuse()
    assert origin.open_connections == 0
    with pytest.raises(httpx.ConnectError):
        client.get(origin.url)
    before = origin.url
    origin.accept()
    assert client.get(origin.url).status_code == 200
    assert origin.url == before


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang_up", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("garbage", httpx.RemoteProtocolError),
    ],
)
def test_faults_before_the_headers(origin: FaultyOrigin, client: httpx.Client, fault, error) -> None:
    origin.script(Answer(fault=fault), 200)
    with pytest.raises(error):
        client.get(origin.url)
    assert client.get(origin.url).status_code == 200


@pytest.mark.parametrize("drip", [None, 0.0])
@pytest.mark.parametrize(
    ("fault", "error"), [("truncate", httpx.RemoteProtocolError), ("reset_midway", httpx.ReadError)]
)
def test_faults_in_the_body(origin: FaultyOrigin, client: httpx.Client, fault, error, drip: float | None) -> None:
    origin.script(Answer(body="half and half", fault=fault, drip=drip), 200)
    with client.stream("GET", origin.url) as response:
        assert response.status_code == 200
        with pytest.raises(error):
            response.read()
    assert client.get(origin.url).status_code == 200


def test_even_an_empty_body_can_be_cut(origin: FaultyOrigin, client: httpx.Client) -> None:
    origin.script(Answer(body="", fault="truncate"))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(origin.url)


# -- its end ---------------------------------------------------------------------------------------------------------


def test_at_its_end_everything_is_closed(client: httpx.Client) -> None:
    with FaultyOrigin() as origin, ThreadPoolExecutor(1) as threads:
        origin.script(Answer(hold=True))
        held = threads.submit(client.get, origin.url)
        origin.until(lambda it: it.held == 1)
        origin.__exit__(None, None, None)
        assert isinstance(held.exception(), httpx.TransportError)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", origin.port))
        origin.__enter__()
        client.close()


def test_a_port_that_is_taken_is_told(origin: FaultyOrigin) -> None:
    second = FaultyOrigin()
    second.port = origin.port
    with pytest.raises(OSError, match="address already in use"):
        second.__enter__()


def test_it_speaks_tls() -> None:
    trustme = pytest.importorskip("trustme")
    import ssl

    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with FaultyOrigin(tls=server) as origin, httpx.Client(verify=trusting) as client:
        assert client.get(origin.url).text == "ok"
        origin.script(Answer(fault="reset"))
        with pytest.raises(httpx.TransportError):
            client.get(origin.url)
