"""A context manager that does nothing, cheaply: entering `contextlib.nullcontext` costs several times as much."""

from __future__ import annotations


class _Nothing:
    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


NOTHING = _Nothing()
