"""The service's own test: the app as it is, over a real stock service that fails as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_service.app import app
from spanwire.testing import Answer, FaultyOrigin


@pytest.fixture
def service(spanwire_origin: FaultyOrigin, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("STOCK_URL", spanwire_origin.url)
    monkeypatch.setenv("SPANWIRE_CIRCUIT_BREAKER__CONSECUTIVE_FAILURES", "3")
    with TestClient(app) as client:  # enters the lifespan, and so opens the client
        yield client


def test_a_failure_of_the_stock_service_is_not_seen_by_who_orders(
    service: TestClient, spanwire_origin: FaultyOrigin
) -> None:
    spanwire_origin.script(503, Answer(200, body='{"count": 7}'))
    assert service.get("/orders/4711").json() == {"sku": "4711", "in_stock": True, "attempts": 2}


def test_a_stock_service_that_is_down_is_asked_no_more(service: TestClient, spanwire_origin: FaultyOrigin) -> None:
    spanwire_origin.script(500)
    assert service.get("/orders/4711").status_code == 502  # three attempts, and the breaker opens
    answer = service.get("/orders/4712")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 5
    assert len(spanwire_origin.requests) == 3
    assert service.get("/health").json()["breakers"] == {spanwire_origin.url: "open"}
