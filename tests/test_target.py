"""Where a request goes, found once per origin."""

from __future__ import annotations

import httpx
import pytest

from spanwire import target
from spanwire.target import target_of


@pytest.mark.parametrize(
    ("url", "origin", "host", "port"),
    [
        ("http://h/a?b#c", "http://h", "h", 80),
        ("https://u:p@h:443/", "https://h", "h", 443),
        ("https://h:8443/", "https://h:8443", "h", 8443),
        ("HTTP://H:80/", "http://h", "h", 80),
        ("http://[::1]:8080/", "http://[::1]:8080", "::1", 8080),
        ("http://[::1]/", "http://[::1]", "::1", 80),
    ],
)
def test_an_origin_has_one_name_however_its_url_is_written(url: str, origin: str, host: str, port: int) -> None:
    assert target_of(httpx.URL(url)) == (origin, host, port)


def test_origins_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_known", {})
    for number in range(target._MOST + 50):
        target_of(httpx.URL(f"http://h{number}/"))
    assert len(target._known) <= target._MOST
