"""Hostile answers, closed streams and bad variables give one line and an exit code, never a traceback or an escape."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import httpx
import pytest

from spanwire.testing import FaultyOrigin
from spanwire.testing.answers import Answer


def spanwire(*arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, **variables}
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "spanwire", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=25, check=False)


def test_no_escape_of_a_header_reaches_the_terminal(spanwire_origin: FaultyOrigin) -> None:
    spanwire_origin.script(Answer(headers={"content-type": "text/\x1b[2Jplain"}))
    assert "\x1b[2J" not in spanwire("get", spanwire_origin.url).stdout


@pytest.mark.parametrize("shell", ["--json >&-", "--body >&-", "--data - <&-"])
def test_streams_may_be_closed(spanwire_origin: FaultyOrigin, shell: str) -> None:
    assert "Traceback" not in spanwire("get", spanwire_origin.url, shell=shell).stderr


def test_an_impossible_proxy_of_the_environment_is_told_without_its_password(spanwire_origin: FaultyOrigin) -> None:
    ended = spanwire("get", spanwire_origin.url, HTTP_PROXY="foo://user:CANARY@proxy", no_proxy="", NO_PROXY="")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "CANARY" not in ended.stderr


@pytest.mark.skipif(httpx.__name__ == "httpx2", reason="to httpx2 it is one, of a host that is not there")
def test_a_name_that_idna_does_not_know_is_no_url() -> None:
    ended = spanwire("get", "http://xn--/")
    # httpx2 takes it for a name, which cannot be reached
    assert (ended.returncode, "is not a URL" in ended.stderr) in {(2, True), (1, False)}
    assert "Traceback" not in ended.stderr
