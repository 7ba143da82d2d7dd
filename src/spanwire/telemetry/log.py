"""Decisions in std logging: `telemetry.log_decisions()` or `SPANWIRE_LOG=debug`."""

from __future__ import annotations

import logging
import os

from ..call import Call
from ..decisions import Decision
from ..errors import ConfigurationError
from ..signals import EVERYWHERE, Listener

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _DecisionLog(Listener):
    """Writes decisions of a level and above to the logger `spanwire`, with the evidence also as `extra`."""

    def __init__(self, level: int) -> None:
        self.level = level
        self._logger = logging.getLogger("spanwire")

    def decided(self, call: Call | None, decision: Decision) -> None:
        level = _level(decision)
        if level < self.level or not self._logger.isEnabledFor(level):
            return
        evidence = decision.evidence()
        shown = " ".join(f"{key.removeprefix('spanwire.')}={value}" for key, value in evidence.items())
        self._logger.log(
            level,
            "%s %s",
            decision.NAME,
            shown,
            extra={"spanwire": evidence, "trace_id": f"{call.trace_id:032x}" if call else None},
        )


def _level(decision: Decision) -> int:
    """Steps of a call are DEBUG unless they are warnings; changes of state have their severity's level."""
    severity = int(decision.severity)
    if severity >= 13:
        return logging.ERROR if severity >= 17 else logging.WARNING
    return logging.INFO if decision.LASTING else logging.DEBUG


def log_decisions(level: str | int = "info") -> None:
    """Write the decisions of every client to the std logger `spanwire`, from a level on.

    "debug" shows every step of every call.
    A second call changes the level.

    Raises:
        ConfigurationError: if the level is not one of debug, info, warning, error.
    """
    number = _LEVELS.get(level.lower()) if isinstance(level, str) else level
    if number is None:
        raise ConfigurationError(f"`level` = {level!r} is impossible: it should be one of {', '.join(_LEVELS)}")
    for listener in EVERYWHERE:
        if isinstance(listener, _DecisionLog):
            listener.level = number
            return
    EVERYWHERE.append(_DecisionLog(number))


if wanted := os.environ.get("SPANWIRE_LOG"):
    try:
        log_decisions(wanted)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("`level`", "`SPANWIRE_LOG`")) from None
