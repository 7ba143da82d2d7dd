"""What `spanwire get` prints: the tree of the call, or its report as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import httpx
from rich.text import Text

from ...redact import redacted_text
from .. import words
from ..consoles import console
from ..record import Story
from ..tree import Tree


@dataclass(frozen=True)
class Ended:
    """A call that ended with a response or with an error."""

    story: Story
    response: httpx.Response | None = None
    error: Exception | None = None

    @property
    def message(self) -> str | None:
        """What the error says."""
        return None if self.error is None else redacted_text(str(self.error) or type(self.error).__name__)


def as_tree(ended: Ended, body: bool) -> None:
    """Print the tree; with the body, that goes to stdout and the tree to stderr."""
    screen = console(stderr=body)
    screen.print(Tree(ended.story))
    if ended.response is not None:
        screen.print(Text.assemble(("  answer ", "dim"), _answer(ended.response)))
    if ended.message:
        screen.print(Text.assemble(("   error ", "dim"), (ended.message, "red")))
    if body and ended.response is not None:
        _write(ended.response.content)


def _answer(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    size = f"{len(response.content):,} bytes"
    shown = filter(None, (words.status(response.status_code), response.http_version, kind, size))
    return "".join(sign if sign.isprintable() else "?" for sign in " · ".join(shown))  # a header may hold escapes


def as_json(ended: Ended, body: bool) -> None:
    """Print the report as JSON, with the final status and what the error says."""
    response = ended.response
    found = {
        **ended.story.report.as_dict(),
        "status": response.status_code if response is not None else None,
        "message": ended.message,
    }
    if body:
        found["body"] = response.text if response is not None else None
    _write(f"{json.dumps(found, indent=2)}\n".encode())


def _write(data: bytes) -> None:
    """Write all of it: a stdout without a buffer, as with `PYTHONUNBUFFERED`, takes but a part at a time."""
    if sys.stdout is None:
        return  # it was closed by whoever started us: nobody wants it
    left = memoryview(data)
    while left:
        left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.buffer.flush()
