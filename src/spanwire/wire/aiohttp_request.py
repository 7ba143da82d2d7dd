"""A request of httpx in aiohttp's words, as it was written: aiohttp adds, decodes and normalises nothing."""

from __future__ import annotations

import base64
import io
from typing import Any

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

LARGE = 1 << 20
"""Bytes of a body from which on aiohttp wants it in pieces."""


def options(request: httpx.Request, proxy: httpx.Proxy | None) -> dict[str, Any]:
    """The arguments of `ClientSession.request` for a request of httpx."""
    timeout, url = request.extensions.get("timeout", {}), request.url
    if (url.port or 0) > 65535:  # such as of a redirect; yarl would raise an error of its own
        raise httpx.ConnectError(f"the port {url.port} is impossible: ports end at 65535")
    asked: dict[str, Any] = {
        "method": request.method,
        # Not `str(url)`: aiohttp would make an Authorization header of its credentials. Encoded: httpx has done that.
        "url": URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True),
        "headers": _text(request.headers),
        "data": _body(request),
        "allow_redirects": False,
        "timeout": aiohttp.ClientTimeout(connect=timeout.get("connect"), sock_read=timeout.get("read")),
        "server_hostname": request.extensions.get("sni_hostname"),
    }
    if proxy is not None:
        _send_by_proxy(asked, proxy)
    return asked


def _send_by_proxy(asked: dict[str, Any], proxy: httpx.Proxy) -> None:
    """A tunnel gets the proxy's headers by itself; without one they are the request's, where the request has none."""
    headers = _text(proxy.headers)
    if proxy.raw_auth is not None:
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(b":".join(proxy.raw_auth)).decode()
    asked["proxy"] = str(proxy.url)
    if asked["url"].scheme == "https":
        asked["proxy_headers"] = headers
    else:
        asked["headers"].extend((name, value) for name, value in headers.items() if name not in asked["headers"])


def _text(headers: httpx.Headers) -> CIMultiDict[str]:
    """The headers as they were given, but for the framing of the body, which is aiohttp's."""
    encoding = headers.encoding
    pairs = ((name.decode("ascii"), value.decode(encoding)) for name, value in headers.raw)
    return CIMultiDict((name, value) for name, value in pairs if name.lower() != "transfer-encoding")


def _body(request: httpx.Request) -> Any:
    try:
        content = request.content
    except httpx.RequestNotRead:
        return request.stream
    return io.BytesIO(content) if len(content) >= LARGE else content or None
