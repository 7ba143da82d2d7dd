"""Decisions as events: per call on the call's span, changes of state as log events that outlive sampling.

The Logs API is still `opentelemetry._logs`; this is the one place that knows. `SPANWIRE_EVENTS=span|log|both` moves the
per-call ones.
"""

from __future__ import annotations

import os
import time
from typing import Any

from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import Context

from .._version import __version__
from ..call import Call
from ..decisions import CLIENT, Decision
from ..errors import ConfigurationError
from .providers import SCHEMA_URL, SCOPE, Providers

PLACES = ("span", "log", "both")


class Events:
    """Tells the decisions of one client."""

    def __init__(self, client: str, providers: Providers) -> None:
        place = os.environ.get("SPANWIRE_EVENTS", "span")
        if place not in PLACES:
            raise ConfigurationError(
                f"`SPANWIRE_EVENTS` = {place!r} is impossible: it should be one of {', '.join(PLACES)}"
            )
        self._on_span = place in ("span", "both")
        self._in_log = place in ("log", "both")
        self._client = client
        self._logger = get_logger(SCOPE, __version__, providers.logger, SCHEMA_URL)

    def tell(self, call: Call | None, decision: Decision) -> None:
        """One decision, where it belongs."""
        if decision.LASTING or call is None or self._in_log:
            self._log(call, decision)
        if call is not None and self._on_span and not decision.LASTING and call.recorded:
            call.span.add_event(decision.NAME, decision.evidence())

    def _log(self, call: Call | None, decision: Decision) -> None:
        severity = SeverityNumber(int(decision.severity))
        if not self._logger.enabled(severity_number=severity, event_name=decision.NAME):
            return
        evidence: dict[str, Any] = {CLIENT.key: self._client, **decision.evidence()}
        context: Context | None = call.scope if call is not None else None
        self._logger.emit(
            timestamp=time.time_ns(),
            context=context,
            severity_number=severity,
            event_name=decision.NAME,
            body=decision.NAME,
            attributes=evidence,
        )
