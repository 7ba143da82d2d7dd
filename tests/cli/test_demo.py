"""`spanwire demo`: what it serves while it runs, and how it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from fcntl import ioctl

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spanwire.cli.words import TIMES
from tests.cli.conftest import Command, environment
from tests.cli.servers import free_port

Running = subprocess.Popen[str]


@contextlib.contextmanager
def demo(*arguments: str) -> Iterator[Running]:
    """A demo in a process of its own, which is ended in any case."""
    command = [sys.executable, "-W", "error", "-m", "spanwire", "demo", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, env=environment(), **pipes) as running:  # type: ignore[call-overload]
        try:
            yield running
        finally:
            running.kill()


def scraped(port: int) -> dict[str, float]:
    """The sums of the families that Prometheus would find now; none while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as page:
            text = page.read().decode()
    except OSError:
        return {}
    families = text_string_to_metric_families(text)
    return {family.name: sum(sample.value for sample in family.samples) for family in families}


@pytest.mark.timeout(60)
def test_it_serves_its_metrics_and_ends_by_itself() -> None:
    port, seen = free_port(), dict[str, float]()
    with demo("--headless", "--duration", "8", "--port", str(port)) as running:
        while running.poll() is None:
            seen = scraped(port) or seen
            time.sleep(0.1)
        told = running.communicate(timeout=20)[0]
    assert running.returncode == 0, told
    assert seen["spanwire_retry_attempts"] > 0
    assert seen["spanwire_circuit_breaker_transitions"] > 0
    assert seen["spanwire_circuit_breaker_rejections"] > 0
    assert "503 Service Unavailable" in told or "outcome 503" in told
    assert re.search(r"circuit breaker closed → open: failure ratio", told)
    assert re.search(r"The origin failed \d+% of [\d,]+ requests", told)
    assert "attempt 2 (retry) →" in told, "the tree of a call that was tried again"
    assert "What next:" in told
    assert "sesame" not in told


def test_a_taken_port_is_named_with_the_remedy(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = here("demo", "--headless", "--port", str(port))
    assert told.code == 2
    assert f"the port {port} of 127.0.0.1 is taken" in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "70000"], ["--duration", "0"], ["--seed", "x"]])
def test_an_impossible_argument_is_named(here: Command, arguments: list[str]) -> None:
    told = here("demo", *arguments)
    assert told.code == 2
    assert f"{arguments[0]}: {arguments[1]!r} should be" in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_ended_early_with_its_summary(number: signal.Signals) -> None:
    port = free_port()
    with demo("--headless", "--duration", "60", "--port", str(port)) as running:
        assert running.stdout is not None
        told = ""
        while not scraped(port).get("spanwire_call_attempts"):
            time.sleep(0.05)
        running.send_signal(number)
        told = running.communicate(timeout=20)[0]
    assert running.returncode == 0, told
    assert "What next:" in told
    assert "Traceback" not in told


def test_a_terminal_shows_it_live_and_full() -> None:
    columns, lines = 80, 24
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    command = [sys.executable, "-m", "spanwire", "demo", "--duration", "3", "--port", str(free_port())]
    known = {name: value for name, value in environment(TERM="xterm").items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=known) as running:
        os.close(theirs)
        shown = _read(ours)
        assert running.wait(20) == 0
    os.close(ours)
    frames = shown.split("\x1b[H")[1:]
    assert len(frames) > 8, "it moves"
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", frames[-1].partition("\x1b[?1049l")[0])
    rows = last.split("\n")[:lines]
    assert len(rows) == lines
    assert all(len(row.rstrip("\r")) <= columns for row in rows)
    for part in (
        "spanwire demo",
        "origin",
        f"sync {TIMES}4",
        f"async {TIMES}8",
        "breaker",
        "retry_attempts_total",
        "Ctrl-C",
    ):
        assert part in last, part
    assert "What next:" in shown.partition("\x1b[?1049l")[2], "the summary stays on the screen"


def _read(terminal: int) -> str:
    """Everything that is written to a terminal until its program ends."""
    data, until = b"", time.monotonic() + 25
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data += os.read(terminal, 65536)
            except OSError:  # it has ended
                break
    return data.decode()


def test_a_defect_among_the_callers_does_not_go_unseen(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        raise AssertionError("a defect")

    monkeypatch.setattr("spanwire.cli.demo.load._after", broken)
    monkeypatch.setattr("spanwire.cli.demo.script.Phase.answer", lambda *_: 500)
    monkeypatch.setattr("spanwire.cli.demo.load.Policy", lambda **_: _raising())
    with pytest.raises(AssertionError, match="a defect"):
        here("demo", "--headless", "--duration", "20", "--port", str(free_port()))


def _raising() -> object:
    """A policy under which every call is refused at once."""
    from spanwire import CircuitBreaker, Policy

    return Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1))
