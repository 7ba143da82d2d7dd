"""What may be shown of a URL: never its credentials, and of its query only the names, unless a value is allowed.

`SPANWIRE_SHOW_QUERY=page,limit` (or `*`) lets the values of these parameters through; the parameters that sign
requests at the large clouds stay hidden even then. The OTel conventions hide only those; spanwire cannot know which of
a service's own parameters carry a token, so it starts from nothing.
"""

from __future__ import annotations

import os
import re
from types import TracebackType
from urllib.parse import unquote_plus

import httpx

from .target import target_of

HIDDEN = "REDACTED"
ALWAYS_HIDDEN = frozenset(
    {
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-security-token",
        "awsaccesskeyid",
        "signature",
        "sig",
        "x-goog-signature",
    }
)
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"\?[^\s#]*")
_FRAGMENT = re.compile(r"(://[^\s#]*)#\S*?(?=['\")>,.;:]*(?:\s|$))")
_shown: frozenset[str] = frozenset(filter(None, os.environ.get("SPANWIRE_SHOW_QUERY", "").split(",")))


def redacted(url: httpx.URL | str, origin: str = "") -> str:
    """The URL without credentials, fragment and the values of its query: `https://REDACTED:REDACTED@host/a?b=REDACTED`.

    Give the `origin` where it is known already: httpx makes it anew each time.
    """
    if isinstance(url, str):
        head, mark, query = url.partition("#")[0].partition("?")
        return _USERINFO.sub(f"{HIDDEN}:{HIDDEN}@", head) + mark + _query(query)
    path, mark, query = url.raw_path.decode("ascii", "replace").partition("?")
    text = (origin or target_of(url).origin) + path
    if url.userinfo:
        text = text.replace("://", f"://{HIDDEN}:{HIDDEN}@", 1)
    return f"{text}?{_query(query)}" if mark else text


def redacted_text(text: str) -> str:
    """A text with the credentials, queries and fragments of every URL in it hidden."""
    if "://" not in text:
        return text
    return _QUERY.sub(_hidden, _FRAGMENT.sub(r"\1", _USERINFO.sub(f"{HIDDEN}:{HIDDEN}@", text)))


def _hidden(found: re.Match[str]) -> str:
    """A query in a text, without the marks that stand around the URL or end the sentence."""
    query = found[0].rstrip("'\")>,.;:")
    return "?" + _query(query[1:]) + found[0][len(query) :]


class Untold(Exception):
    """Stands in a log for an error of the user's code, whose message may show anything."""


def untold(error: BaseException) -> tuple[type[Untold], Untold, TracebackType | None]:
    """The `exc_info` of a log record: where an error came from and its class, without its message."""
    return (
        Untold,
        Untold(f"{type(error).__qualname__} (its message is not written: it may be secret)"),
        error.__traceback__,
    )


def _query(query: str) -> str:
    return "&".join(_pair(pair) for pair in query.split("&"))


def _pair(pair: str) -> str:
    name, mark, _ = pair.partition("=")
    if not mark:
        return HIDDEN if pair else pair  # `?token` alone may be the token
    plain = unquote_plus(name)
    shown = (plain in _shown or "*" in _shown) and plain.lower() not in ALWAYS_HIDDEN
    return pair if shown else f"{name}={HIDDEN}"
