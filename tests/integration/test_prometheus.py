"""A real Prometheus scrapes a real client: it finds what the origin counted, under the documented names."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwire.testing import FaultyOrigin
from tests.cli.servers import free_port
from tests.components import require

CALLER = """
import sys
import spanwire
from spanwire import CircuitBreaker, Fixed, Policy, Retry

origin, port = sys.argv[1:]
finish = spanwire.telemetry.setup("shop", prometheus_port=int(port))
policy = Policy(
    retry=Retry(max_attempts=3, backoff=Fixed(seconds=0), budget=None),
    circuit_breaker=CircuitBreaker(consecutive_failures=3, break_duration=60),
)
with spanwire.Client(name="billing", base_url=origin, policy=policy) as client:
    for number in range(4):
        client.get(f"/invoices/{number}", params={"token": "hunter2"})
    client.get("/flaky")
    client.get("/down")
    for _ in range(2):
        try:
            client.get("/invoices/9")
        except spanwire.CircuitOpen:
            print("refused")
    print("done", flush=True)
    sys.stdin.read()
finish()
"""

CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: spanwire
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """What becomes true in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not true within {seconds:g} s"
        time.sleep(0.02)
    return found


class Prometheus:
    """A server that scrapes one port every second."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", trust_env=False)

    def query(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query: their labels, and their value under `""`."""
        try:
            found = self._client.get("/query", params={"query": query}).raise_for_status().json()["data"]["result"]
        except httpx.HTTPError:  # it is starting
            return []
        return [{**sample["metric"], "": float(sample["value"][1])} for sample in found]

    def by(self, query: str, *labels: str) -> dict[Any, float]:
        """The sums that are not zero, by the values of some labels: a value if there is one label, else a tuple."""
        samples = self.query(f"sum by ({','.join(labels)}) ({query}) > 0")
        keys = [tuple(sample.get(label) for label in labels) for sample in samples]
        return {key[0] if len(key) == 1 else key: sample[""] for key, sample in zip(keys, samples, strict=True)}

    def total(self, query: str) -> float | None:
        """The sum of all series, if there are any."""
        return next((sample[""] for sample in self.query(f"sum({query})")), None)

    def close(self) -> None:
        self._client.close()


@contextmanager
def caller(origin: FaultyOrigin, port: int) -> Iterator[None]:
    """A process that has made its calls and goes on to serve its metrics."""
    command = [sys.executable, "-W", "error", "-c", CALLER, origin.url, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert [next(running.stdout).strip() for _ in range(3)] == ["refused", "refused", "done"]
            yield
            running.communicate(timeout=10)
            assert running.returncode == 0
        finally:
            running.kill()


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[Prometheus]:
    """A real Prometheus on a free port, with an empty store."""
    program, own = require("prometheus", "prometheus"), free_port()
    (folder / "prometheus.yml").write_text(CONFIG.format(port=port))
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{own}",
        "log.level": "warn",
    }
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as running:
        prometheus = Prometheus(f"http://127.0.0.1:{own}")
        try:
            yield prometheus
        finally:
            prometheus.close()
            running.kill()


@pytest.mark.timeout(60)
def test_prometheus_finds_what_the_origin_counted(origin: FaultyOrigin, tmp_path: Path) -> None:
    origin.script(503, 200, path="/flaky")
    origin.script(503, path="/down")
    port = free_port()
    with scraping(port, tmp_path) as prometheus, caller(origin, port):
        until(lambda: prometheus.total("up") == 1, 30)
        until(lambda: prometheus.total("spanwire_call_attempts_total") == 8, 10)

        asked = [seen.path for seen in origin.requests]
        assert asked == ["/invoices/0", "/invoices/1", "/invoices/2", "/invoices/3", *2 * ["/flaky"], *3 * ["/down"]]
        again = len(asked) - len({*asked})
        assert prometheus.by("spanwire_attempts_total", "spanwire_attempt_kind") == {"primary": 6, "retry": again}
        assert prometheus.by("spanwire_retry_attempts_total", "spanwire_reason") == {"status": again}
        assert prometheus.by("spanwire_call_attempts_total", "spanwire_attempts", "spanwire_outcome") == {
            ("1", "success"): 4,
            ("2", "success"): 1,
            ("3", "failure"): 1,
            ("0", "rejected"): 2,
        }
        assert prometheus.by("spanwire_call_duration_seconds_count", "spanwire_outcome") == {
            "success": 5,
            "failure": 1,
            "rejected": 2,
        }
        assert prometheus.total("http_client_request_duration_seconds_count") == len(asked)

        moved = ("spanwire_circuit_breaker_from", "spanwire_circuit_breaker_to")
        assert prometheus.by("spanwire_circuit_breaker_transitions_total", *moved) == {("closed", "open"): 1}
        state = "spanwire_circuit_breaker_state"
        assert prometheus.by("spanwire_circuit_breaker_status", state) == {"open": 1}
        assert prometheus.total("spanwire_circuit_breaker_status") == 1
        assert prometheus.total("spanwire_circuit_breaker_rejections_total") == 2

        series = prometheus.query('{job="spanwire"}')
        labels = {(name, value) for labels in series for name, value in labels.items() if name}
        assert not [pair for pair in labels if "invoices" in str(pair) or "hunter2" in str(pair)]
        urls = {name: value for name, value in labels if "//" in value}
        assert urls.pop("otel_scope_schema_url").startswith("https://opentelemetry.io/")
        assert urls == {"spanwire_circuit_breaker_name": origin.url}, "a breaker's name is its origin, without a path"
