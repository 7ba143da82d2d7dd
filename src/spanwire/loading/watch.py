"""A policy file that changes while it is in use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic

from ..errors import ConfigurationError
from .building import P, built
from .files import content, parsed


class Watch(Generic[P]):
    """A policy file that is looked at again and again: clients accept it as `policy=`.

    `policy` is what is in force: the last that was possible. `error` is what is wrong with the file now, None if
    nothing. Clients that share one `Watch` compare `policy` with their own, since `poll` tells a change once.
    """

    def __init__(self, model: type[P], path: str | os.PathLike[str], interval: float = 5.0) -> None:
        if not 0 < interval < float("inf"):
            raise ConfigurationError(
                f"`interval` = {interval!r} is impossible: give the seconds between two looks at the file"
            )
        self._model = model
        self.path = Path(path)
        self.interval = interval
        self.error: ConfigurationError | None = None
        self._seen: object = content(path)
        self.policy = self._loaded(self._seen)

    def poll(self) -> P | ConfigurationError | None:
        """Look at the file: the new policy if it has changed, what is wrong with it, or None if there is nothing new.

        The content counts and not the time of the last change, which copies and mounted volumes do not keep.
        """
        now = self._now()
        if now == self._seen:
            return None
        self._seen, before, self.error = now, self.error, None
        try:
            found = self._loaded(now)
        except (ConfigurationError, Warning) as problem:  # a warning, where warnings are errors
            self.error = problem if isinstance(problem, ConfigurationError) else ConfigurationError(str(problem))
            return self.error
        if found == self.policy and before is None:
            return None
        self.policy = found
        return found

    def _now(self) -> object:
        try:
            return content(self.path)
        except ConfigurationError as error:
            return str(error)

    def _loaded(self, now: object) -> P:
        if not isinstance(now, bytes):
            raise ConfigurationError(str(now))
        return built(self._model, parsed(now, self.path), f"'{self.path}'")

    def __repr__(self) -> str:
        trouble = ", the file is impossible now" if self.error else ""
        return f"<Watch '{self.path}' policy {getattr(self.policy, 'hash', '')}{trouble}>"
