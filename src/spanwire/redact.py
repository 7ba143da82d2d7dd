"""What may be shown of a URL: never its credentials, and of its query only the names, unless a value is allowed.

`SPANWIRE_SHOW_QUERY=page,limit` (or `*`) lets the values of these parameters through; the parameters that sign
requests at the large clouds stay hidden even then. The OTel conventions hide only those; spanwire cannot know which of
a service's own parameters carry a token, so it starts from nothing.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_plus

import httpx

HIDDEN = "REDACTED"
ALWAYS_HIDDEN = frozenset(
    {"x-amz-signature", "x-amz-credential", "x-amz-security-token", "awsaccesskeyid", "signature", "sig", "x-goog-signature"}
)
_USERINFO = re.compile(r"(?<=://)[^/?#@\s]*@")
_QUERY = re.compile(r"\?[^\s#'\"]*")
_shown: frozenset[str] = frozenset(filter(None, os.environ.get("SPANWIRE_SHOW_QUERY", "").split(",")))


def redacted(url: httpx.URL | str) -> str:
    """The URL without credentials, fragment and the values of its query: `https://REDACTED:REDACTED@host/a?b=REDACTED`."""
    text = str(url) if isinstance(url, str) else f"{origin_of(url)}{url.raw_path.decode('ascii', 'replace')}"
    if not isinstance(url, str) and url.userinfo:
        text = text.replace("://", f"://{HIDDEN}:{HIDDEN}@", 1)
    head, mark, query = text.partition("?")
    return redacted_text(head) + mark + _query(query.partition("#")[0]) if mark else redacted_text(head.partition("#")[0])


def redacted_text(text: str) -> str:
    """A text with the credentials and queries of every URL in it hidden."""
    text = _USERINFO.sub(f"{HIDDEN}:{HIDDEN}@", text)
    return _QUERY.sub(lambda found: "?" + _query(found[0][1:]), text) if "://" in text and "?" in text else text


def _query(query: str) -> str:
    return "&".join(_pair(pair) for pair in query.split("&"))


def _pair(pair: str) -> str:
    name, mark, _ = pair.partition("=")
    if not mark:
        return HIDDEN if pair else pair  # `?token` alone may be the token
    plain = unquote_plus(name)
    shown = (plain in _shown or "*" in _shown) and plain.lower() not in ALWAYS_HIDDEN
    return pair if shown else f"{name}={HIDDEN}"


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port as one string, without default ports: the key of breakers and limits."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
