"""How long a call, an attempt and each phase of an attempt may take."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic

from ...config import Part


def _off(value: object) -> object:
    """What a file or a variable says for "no limit"."""
    return None if isinstance(value, str) and value.strip().lower() in ("off", "none", "null") else value


_Seconds = Annotated[float | None, pydantic.Field(gt=0)]
Limit = Annotated[_Seconds, pydantic.BeforeValidator(_off, json_schema_input_type=_Seconds | Literal["off"])]
"""Seconds, above 0; None (in files and variables also "off") for no limit."""


class Timeout(Part):
    """Time limits, in seconds; any may be None. The rest of the total clamps every later phase and attempt.

    Args:
        total: the whole call: attempts, waits and the reading of the body. Default 30.
        attempt: one attempt, up to its response headers. Default 10.
        connect: making a connection, TLS included. Default 5.
        read: waiting for a further piece of the answer. Default 10.
        write: sending a further piece of the request. Default 5.
        pool: waiting for a connection of the pool. Default 2.
        propagate: a header that tells the origin the seconds left of the total, such as `X-Request-Deadline`. Default
            None: off.
        propagate_attempt: a header that tells the origin the number of the attempt. Default None: off.
        propagate_to: the hosts that these two headers are sent to, and no others.

    Raises:
        ConfigurationError: if a limit is not above 0, if `attempt` is longer than `total`, or if a header to propagate
            has no host to go to.

    The defaults of `total` and `attempt` are those of Microsoft.Extensions.Http.Resilience.
    """

    total: Limit = 30.0
    attempt: Limit = 10.0
    connect: Limit = 5.0
    read: Limit = 10.0
    write: Limit = 5.0
    pool: Limit = 2.0
    propagate: Annotated[str | None, pydantic.Field(pattern=r"^[A-Za-z0-9-]+$")] = None
    propagate_attempt: Annotated[str | None, pydantic.Field(pattern=r"^[A-Za-z0-9-]+$")] = None
    propagate_to: tuple[str, ...] = ()

    @pydantic.field_validator("propagate_to")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not host or any(mark in host for mark in "/@:? "):
                raise ValueError(f"{host!r} is not a host: give its name alone, such as 'billing.internal'")
        return tuple(host.lower() for host in hosts)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        attempt, total = self.attempt, self.total
        if "attempt" in self.model_fields_set and attempt is not None and total is not None and attempt > total:
            raise ValueError(
                f"`attempt` = {attempt:g} is longer than `total` = {total:g}: lower `attempt`, or raise `total`"
            )
        if (self.propagate or self.propagate_attempt) and not self.propagate_to:
            raise ValueError("`propagate` has nowhere to go: name the hosts that may see it in `propagate_to`")
        return self

    def phases(self) -> dict[str, float | None]:
        """The limits of the phases of an attempt, as httpx takes them: `httpx.Timeout(**timeout.phases())`."""
        return {"connect": self.connect, "read": self.read, "write": self.write, "pool": self.pool}

    @classmethod
    def fast(cls) -> Self:
        """For an interactive caller: connect 2, read 5, write 5, total 10, no attempt timeout."""
        return cls(connect=2, read=5, write=5, total=10, attempt=None)

    @classmethod
    def upload(cls) -> Self:
        """For large bodies: connect 10, read 30, write 300, total 600, no attempt timeout."""
        return cls(connect=10, read=30, write=300, total=600, attempt=None)

    @classmethod
    def long_running(cls) -> Self:
        """For answers that take long to compute: connect 5, read 120, write 30, total 180, no attempt timeout."""
        return cls(connect=5, read=120, write=30, total=180, attempt=None)
