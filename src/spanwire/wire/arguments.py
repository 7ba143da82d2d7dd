"""What a wire is made from: the arguments of `httpx.HTTPTransport`, and their translation for an httpcore2 pool."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Iterable
from typing import Any, TypedDict

import httpcore2
import httpx

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
"""httpx's own default, which it does not export."""


class WireArguments(TypedDict, total=False):
    """The arguments of `httpx.HTTPTransport`, with its meanings and its defaults."""

    verify: ssl.SSLContext | str | bool
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    trust_env: bool
    http1: bool
    http2: bool
    limits: httpx.Limits
    proxy: httpx.Proxy | httpx.URL | str | None
    uds: str | None
    local_address: str | None
    retries: int
    socket_options: Iterable[SocketOption] | None


def pool_arguments(arguments: WireArguments) -> dict[str, Any]:
    """What `httpcore2.ConnectionPool` and its async twin take, from what `httpx.HTTPTransport` takes."""
    limits = arguments.get("limits", DEFAULT_LIMITS)
    options = arguments.get("socket_options")
    return {
        "ssl_context": ssl_context(arguments),
        "proxy": core_proxy(as_proxy(arguments.get("proxy"))),
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
        "http1": arguments.get("http1", True),
        "http2": arguments.get("http2", False),
        "retries": arguments.get("retries", 0),
        "local_address": arguments.get("local_address"),
        "uds": arguments.get("uds"),
        # A list: a pool sets the options on every connection, an iterator would serve the first alone.
        "socket_options": None if options is None else list(options),
    }


def ssl_context(arguments: WireArguments) -> ssl.SSLContext:
    """The TLS settings as httpx makes them: truststore and its rules under httpx2, certifi under httpx."""
    return httpx.create_ssl_context(
        verify=arguments.get("verify", True),
        cert=arguments.get("cert"),
        trust_env=arguments.get("trust_env", True),
    )


def as_proxy(proxy: httpx.Proxy | httpx.URL | str | None) -> httpx.Proxy | None:
    """A proxy given as text or as a URL becomes an `httpx.Proxy`, which refuses schemes unknown to httpx."""
    return httpx.Proxy(proxy) if isinstance(proxy, str | httpx.URL) else proxy


def core_proxy(proxy: httpx.Proxy | None) -> httpcore2.Proxy | None:
    """The same proxy in httpcore2's words; SOCKS without `socksio` is refused here and not at the first call."""
    if proxy is None:
        return None
    if proxy.url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ImportError("a SOCKS proxy needs the package socksio: pip install 'spanwire[socks]'")
    return httpcore2.Proxy(core_url(proxy.url), proxy.raw_auth, proxy.headers.raw, proxy.ssl_context)


def core_url(url: httpx.URL) -> httpcore2.URL:
    """The same URL, not parsed again."""
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
