"""OpenTelemetry's own log while a command runs: kept off the terminal; one line tells what was not delivered."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator

from ..redact import redacted
from .exits import tell

_CAUSE = re.compile(r"(?:\[Errno -?\d+\] |StatusCode\.)([^'\")\],]+?)(?= encountered|['\")\],]|$)")


class _Kept(logging.Handler):
    """Counts what went wrong and remembers how it began."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it the SDK and its exporters write nothing; at its end one line tells of what they could not deliver."""
    loggers, kept = [logging.getLogger(name) for name in ("opentelemetry", "spanwire.telemetry")], _Kept()
    for logger in loggers:
        logger.addHandler(kept)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(kept)
            logger.propagate = True
        if kept.first:
            tell(_explained(kept.first))


def _explained(first: str) -> str:
    endpoint = redacted(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip())
    found = _CAUSE.search(first)
    cause = found[1].strip().lower() if found else first if len(first) <= 80 else f"{first[:77]}..."
    where = f" to {endpoint}" if endpoint else ""
    return f"telemetry was not delivered{where}: {cause}"
