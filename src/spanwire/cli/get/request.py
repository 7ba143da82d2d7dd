"""What the arguments of `spanwire get` ask for, checked before anything is sent.

No message shows what may be secret: a header's value, credentials, a query.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import httpx

from ...errors import ConfigurationError
from ...override import override

Headers = list[tuple[bytes, bytes]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z-]{0,39}(?=$|[\s=])")
"""What is surely no value: it may be shown although no colon says that it is a name."""
_FORM = "application/x-www-form-urlencoded"


def request(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `client.build_request`.

    Raises:
        ConfigurationError: if the URL, the method, a header or the data is impossible.
    """
    headers = [_header(given) for given in options.header]
    data = None if options.data is None else _data(options.data)
    if data is not None and not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append((b"Content-Type", _FORM.encode()))
    extensions = override(idempotent=True) if options.idempotent else None
    return {
        "method": _method(options, data),
        "url": _url(options.url),
        "headers": headers,
        "content": data,
        "extensions": extensions,
    }


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        _ = url.host
    except (httpx.InvalidURL, ValueError):  # the latter of a name that IDNA does not know
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 80) < 65536:
        raise ConfigurationError(
            f"{_shown(text)!r} is not a URL that can be called: write it in full, such as https://example.com/path"
        )
    return url


def _shown(text: str) -> str:
    """What may be shown of a text that is no URL, but may hold credentials or a query all the same."""
    before, at, rest = text.rpartition("@")
    head, mark, _ = rest.partition("?")
    return f"{'...@' if at else before}{head}{'?...' if mark else ''}"


def _method(options: argparse.Namespace, data: bytes | None) -> str:
    method = str(options.method or ("GET" if data is None else "POST")).upper()
    if not _TOKEN.fullmatch(method):
        raise ConfigurationError(f"--method {method!r} is not a method: give one such as GET, POST or DELETE")
    return method


def _header(given: str) -> tuple[bytes, bytes]:
    name, colon, value = given.partition(":")
    value = value.strip()
    if not colon or not _TOKEN.fullmatch(name) or any(ord(char) < 32 and char != "\t" for char in value):
        found = _NAME.match(given)
        raise ConfigurationError(
            f"--header {f'{found[0]!r} ' if found else ''}is not a header: write it as 'Name: value', on one line"
        )
    return name.encode(), value.encode()


def _data(given: str) -> bytes:
    if given in ("-", "@-"):
        if sys.stdin is None:
            raise ConfigurationError(f"--data {given!r} cannot be read: stdin is closed")
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--data {given!r} cannot be read ({error.strerror}): name a file that can") from None
