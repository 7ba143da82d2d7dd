"""`spanwire get`: one call, how it ends, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from spanwire.testing import Answer, FaultyOrigin
from tests.cli.conftest import Command
from tests.cli.servers import free_port


def test_a_call_that_succeeds_shows_its_attempt_and_ends_with_zero(origin: FaultyOrigin, here: Command) -> None:
    told = here("get", origin.url + "/invoices/42")
    assert told.code == 0
    assert not told.err
    assert f"✔ GET {origin.url}/invoices/42" in told.out
    assert "attempt 1 → 200 OK" in told.out
    assert "success after 1 attempt in" in told.out


def test_a_retry_shows_each_attempt_the_wait_and_why(origin: FaultyOrigin, here: Command) -> None:
    origin.script(503, 200)
    told = here("get", origin.url)
    assert told.code == 0
    lines = [line[line.index("─ ") + 2 :] for line in told.out.splitlines() if "├─ " in line or "└─ " in line]
    assert [line.split("  ")[0] for line in lines] == [
        "attempt 1 → 503 Service Unavailable", "retry scheduled: status", "wait backoff", "attempt 2 (retry) → 200 OK",
    ]  # fmt: skip
    assert "outcome 503 · delay" in told.out
    assert "budget left 486" in told.out


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 0), (429, 1), (500, 1)])
def test_the_exit_code_tells_the_outcome(origin: FaultyOrigin, here: Command, status: int, code: int) -> None:
    origin.script(status)
    assert here("get", origin.url, "--retries", "0").code == code


def test_fail_makes_any_answer_of_400_or_more_a_failure(origin: FaultyOrigin, here: Command) -> None:
    origin.script(404)
    assert here("get", origin.url, "--fail").code == 1


def test_an_origin_that_is_not_there_is_a_failure_that_says_so(here: Command) -> None:
    told = here("get", f"http://127.0.0.1:{free_port()}/", "--retries", "1")
    assert told.code == 1
    assert told.out.count(f"{httpx.__name__}.ConnectError") >= 2
    assert "refused" in told.out


def test_a_deadline_ends_the_call_with_four(origin: FaultyOrigin, here: Command) -> None:
    origin.script(Answer(hold=True))
    told = here("get", origin.url, "--timeout", "0.2")
    assert told.code == 4
    assert "deadline exceeded" in told.out
    assert "0.2 s is used up" in told.out


def test_a_refusal_by_the_policy_ends_the_call_with_three(origin: FaultyOrigin, here: Command, tmp_path: Path) -> None:
    origin.script(500)
    policy = tmp_path / "policy.toml"
    policy.write_text("[circuit_breaker]\nconsecutive_failures = 1\nbreak_duration = 9\n")
    told = here("get", origin.url, "--policy", str(policy))
    assert told.code == 3
    assert "circuit breaker closed → open: consecutive failures" in told.out
    assert len(origin.requests) == 1


def test_a_policy_file_decides_and_arguments_win_over_it(origin: FaultyOrigin, here: Command, tmp_path: Path) -> None:
    origin.script(503)
    policy = tmp_path / "policy.yaml"
    policy.write_text("retry:\n  max_attempts: 2\n  backoff: {kind: fixed, seconds: 0.001}\ncircuit_breaker: off\n")
    assert here("get", origin.url, "--policy", str(policy)).code == 1
    assert len(origin.requests) == 2
    assert here("get", origin.url, "--policy", str(policy), "--retries", "4").code == 1
    assert len(origin.requests) == 7


def test_without_a_file_the_policy_comes_from_the_environment(
    origin: FaultyOrigin, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.script(503)
    monkeypatch.setenv("SPANWIRE_RETRY", "off")
    here("get", origin.url)
    assert len(origin.requests) == 1


def test_what_a_policy_warns_of_is_one_line(origin: FaultyOrigin, here: Command) -> None:
    told = here("get", origin.url, "--retries", "90", "--timeout", "2")
    assert told.code == 0
    assert told.err.startswith("spanwire: note: of `retry.max_attempts` = 91 only ")
    assert len(told.err.splitlines()) == 1


def test_data_is_posted_as_curl_would(origin: FaultyOrigin, here: Command, tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text('{"a": 1}')
    here("get", origin.url, "-d", "a=1")
    here("get", origin.url, "-d", f"@{tmp_path}/item.json", "-X", "put", "-H", "Content-Type: application/json")
    (first, second) = origin.requests
    assert first.method == "POST"
    assert first.body == b"a=1"
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert second.method == "PUT"
    assert second.body == b'{"a": 1}'
    assert second.headers["content-type"] == "application/json"


def test_data_comes_from_stdin_too(origin: FaultyOrigin, spanwire: Command) -> None:
    assert spanwire("get", origin.url, "-d", "-", stdin="from stdin").code == 0
    assert origin.requests[0].body == b"from stdin"


def test_a_post_is_sent_once_unless_it_may_be_sent_twice(origin: FaultyOrigin, here: Command) -> None:
    origin.script(503, 503, 200)
    told = here("get", origin.url, "-X", "POST")
    assert told.code == 1
    assert "retry denied: not idempotent" in told.out
    assert here("get", origin.url, "-X", "POST", "--idempotent").code == 0
    assert len(origin.requests) == 3


def test_redirects_are_followed_when_asked(origin: FaultyOrigin, here: Command) -> None:
    origin.script(Answer(302, {"location": "/b"}), path="/a")
    assert "302 Found" in here("get", origin.url + "/a").out
    assert "attempt 2 (redirect) → 200 OK" in here("get", origin.url + "/a", "-L").out


def test_json_is_the_whole_report(origin: FaultyOrigin, here: Command) -> None:
    origin.script(503, 200)
    report = json.loads(here("get", origin.url, "--json").out)
    assert [attempt["status"] for attempt in report["attempts"]] == [503, 200]
    assert report["status"] == 200
    assert report["outcome"] == "success"
    assert report["message"] is None
    assert report["decisions"][0]["name"] == "spanwire.retry.scheduled"
    assert "body" not in report


def test_json_tells_of_a_failure_too(here: Command) -> None:
    told = here("get", f"http://127.0.0.1:{free_port()}/", "--json", "--retries", "0", "--body")
    report = json.loads(told.out)
    assert told.code == 1
    assert report["status"] is None
    assert "refused" in report["message"]
    assert report["body"] is None


def test_the_body_goes_to_stdout_and_the_tree_to_stderr(origin: FaultyOrigin, spanwire: Command) -> None:
    origin.script(Answer(headers={"content-type": "text/plain; charset=utf-8"}, body="überall"))
    told = spanwire("get", origin.url, "--body")
    assert told.out == "überall"
    assert "attempt 1 → 200 OK" in told.err
    assert "text/plain" in told.err
    assert json.loads(spanwire("get", origin.url, "--body", "--json").out)["body"] == "überall"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_large_body_is_written_whole(origin: FaultyOrigin, spanwire: Command, unbuffered: str) -> None:
    origin.script(Answer(body=b"x" * 1_000_000))
    assert len(spanwire("get", origin.url, "--body", PYTHONUNBUFFERED=unbuffered).out) == 1_000_000


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_nothing_secret_is_shown(origin: FaultyOrigin, spanwire: Command, form: list[str]) -> None:
    origin.script(503, 200)
    url = origin.url.replace("://", "://user:CANARY5f3a@") + "/a?api_key=CANARY5f3a"
    told = spanwire("get", url, "-H", "Authorization: Bearer CANARY5f3a", "-d", "CANARY5f3a", "--idempotent", *form)
    assert told.code == 0
    assert origin.requests[0].body == b"CANARY5f3a"
    assert "api_key=REDACTED" in told.out
    assert "CANARY5f3a" not in told.out + told.err


def test_the_tree_is_plain_in_a_file_and_coloured_where_asked(origin: FaultyOrigin, spanwire: Command) -> None:
    assert "\x1b[" not in spanwire("get", origin.url).out
    assert "\x1b[" in spanwire("get", origin.url, FORCE_COLOR="1", NO_COLOR="").out
    assert "\x1b[3" not in spanwire("get", origin.url, FORCE_COLOR="1", NO_COLOR="1").out


def test_an_encoding_that_lacks_the_signs_is_no_error(origin: FaultyOrigin, spanwire: Command) -> None:
    told = spanwire("get", origin.url, PYTHONIOENCODING="ascii")
    assert told.code == 0
    assert "attempt 1 ? 200 OK" in told.out
