"""Where a request goes: origin, host and port, found once per origin since the properties of httpx.URL are dear."""

from __future__ import annotations

from typing import NamedTuple

import httpx


class Target(NamedTuple):
    """An origin as telemetry and policies speak of it; `port` is there also where it is the scheme's default."""

    origin: str
    host: str
    port: int


_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MOST = 1024
_known: dict[tuple[str, bytes, int | None], Target] = {}


def target_of(url: httpx.URL) -> Target:
    """The target of a URL."""
    key = (url.scheme, url.raw_host, url.port)
    return _known.get(key) or _find(key, url)


def _find(key: tuple[str, bytes, int | None], url: httpx.URL) -> Target:
    if len(_known) >= _MOST:
        _known.clear()
    scheme, host = key[0].lower(), key[1].decode("ascii", "replace")
    usual = _DEFAULT_PORTS.get(scheme, 0)
    port = key[2] or usual
    shown = f"[{host}]" if ":" in host else host
    found = Target(f"{scheme}://{shown}" if port == usual else f"{scheme}://{shown}:{port}", url.host, port)
    _known[key] = found
    return found
