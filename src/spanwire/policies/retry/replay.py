"""Whether a request may be sent twice: by its method or key, and by its body. Pure; nothing is read or buffered."""

from __future__ import annotations

import uuid

import httpx

KEY = "Idempotency-Key"


def replayable(request: httpx.Request) -> bool:
    """Whether the body can be sent again: bytes can, a multipart form whose files rewind can, an iterator cannot."""
    if isinstance(request.stream, httpx.ByteStream):
        return True
    fields = getattr(request.stream, "fields", None)  # httpx's multipart stream, which rewinds its files at each start
    return fields is not None and all(_rewinds(getattr(field, "file", b"")) for field in fields)


def _rewinds(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    return isinstance(file, bytes | str) or (seekable is not None and seekable())


def give_key(request: httpx.Request) -> None:
    """Give the request an `Idempotency-Key` of its own, unless it has one.

    From the operating system and not from the client's random numbers: these repeat in a forked child, and two
    operations with one key are one operation to the origin.
    """
    if KEY not in request.headers:
        request.headers[KEY] = str(uuid.uuid4())
