"""What cannot be done is told in one line that names it, with the exit code 2, and nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanwire.testing import FaultyOrigin
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    "url", ["not-a-url", "ftp://example.com/", "http://", "http://127.0.0.1:99999/", "http://[::1/"]
)
def test_what_is_no_url_is_named(here: Command, url: str) -> None:
    told = here("get", url)
    assert told.code == 2
    assert not told.out
    assert len(told.err.splitlines()) == 1
    assert url in told.err
    assert "https://example.com/path" in told.err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("example.com/a?token=CANARY", "example.com/a?..."),
        ("user:CANARY@example.com/a", "...@example.com/a"),
        ("http://user:CAN?ARY@host:x/", "...@host:x/"),
    ],
)
def test_what_is_no_url_may_hold_secrets_all_the_same(here: Command, url: str, shown: str) -> None:
    told = here("get", url)
    assert told.code == 2
    assert f"'{shown}'" in told.err
    assert "CANARY" not in told.err
    assert "CAN" not in told.err


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("NoColonHere", "'NoColonHere' "),
        ("X-Api-Key=CANARY1", "'X-Api-Key' "),
        ("CANARY1", ""),
        ("X-A: b\nX-B: CANARY1", ""),
    ],
)
def test_a_header_of_another_form_is_named_and_its_value_is_not(here: Command, header: str, named: str) -> None:
    told = here("get", "http://127.0.0.1/", "-H", header)
    assert told.code == 2
    assert f"--header {named}is not a header" in told.err
    assert "CANARY1" not in told.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-d", "@/no/such/file"], "'@/no/such/file' cannot be read"),
        (["-X", "G(T"], "'G(T' is not a method"),
        (["--retries", "-1"], "'-1' should be a whole number"),
        (["--timeout", "soon"], "'soon' should be a number of seconds"),
        (["--policy", "/no/such/policy.yaml"], "'/no/such/policy.yaml' cannot be read"),
        (["--policy", "policy.ini"], "policy.ini"),
    ],
)
def test_an_impossible_argument_is_named(here: Command, arguments: list[str], named: str) -> None:
    told = here("get", "http://127.0.0.1/", *arguments)
    assert told.code == 2
    assert not told.out
    assert named in told.err


def test_an_impossible_policy_names_the_file_and_the_field(origin: FaultyOrigin, here: Command, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("circuit_breaker:\n  failure_ratio: 7\n")
    told = here("get", origin.url, "--policy", str(policy))
    assert told.code == 2
    assert str(policy) in told.err
    assert "circuit_breaker.failure_ratio" in told.err
    assert not origin.requests


def test_a_connection_that_cannot_be_had_is_told(here: Command, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("connection:\n  ca_file: /no/such/ca.pem\n")
    told = here("get", "http://127.0.0.1/", "--policy", str(policy))
    assert told.code == 2
    assert "/no/such/ca.pem" in told.err
    assert len(told.err.splitlines()) == 1


def test_impossible_variables_are_named(here: Command, spanwire: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        "OTEL_EXPORTER_OTLP_ENDPOINT" in spanwire("get", "http://x/", OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4318").err
    )
    monkeypatch.setenv("SPANWIRE_RETRY__MAX_ATTEMPTS", "many")
    told = here("get", "http://127.0.0.1/")
    assert told.code == 2
    assert "SPANWIRE_RETRY__MAX_ATTEMPTS" in told.err
