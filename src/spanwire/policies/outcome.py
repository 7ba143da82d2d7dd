"""How an attempt ended, as policies and the functions of users judge it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from ..call import FAILED_STATUS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: by a `response`, whose body is not read yet, or by an `error`; `attempt` counts from 1."""

    request: httpx.Request
    response: httpx.Response | None
    error: Exception | None
    attempt: int

    @property
    def name(self) -> str:
        """The status of the response or the class of the error, such as "503" or "ReadTimeout"."""
        return str(self.response.status_code) if self.response is not None else type(self.error).__name__

    @property
    def failed(self) -> bool:
        """Whether a call that ended so has failed: an error, a 5xx, or a 408, 425 or 429."""
        if self.response is None:
            return True
        return self.response.status_code >= 500 or self.response.status_code in FAILED_STATUS
