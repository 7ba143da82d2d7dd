"""The arguments of a client, checked before anything is made of them.

An error names the argument, what it is and what it should be. Of a value only the class is shown: it may hold a secret.
"""

from __future__ import annotations

import random as _random
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigurationError
from .signals import Listener

_PROVIDERS = {"tracer_provider": "get_tracer", "meter_provider": "get_meter", "logger_provider": "get_logger"}


def check(name: object, listeners: object, clock: object, random: object, **providers: object) -> None:
    """Raise a `ConfigurationError` for what is none of the things that a client takes."""
    if not isinstance(name, str) or not name:
        raise impossible("name", name, "a text such as 'billing'")
    for one in listed("listeners", listeners):
        if not isinstance(one, Listener):
            raise impossible("listeners", one, "a list of instances of classes that inherit from spanwire.Listener")
    for argument, method in _PROVIDERS.items():
        provider = providers[argument]
        if provider is not None and (isinstance(provider, type) or not callable(getattr(provider, method, None))):
            wanted = f"an OpenTelemetry provider, which has `{method}`, or left out for the global one"
            raise impossible(argument, provider, wanted)
    if clock is not None and not callable(clock):
        raise impossible("clock", clock, "a function that gives seconds, such as time.monotonic")
    if random is not None and not isinstance(random, _random.Random):
        raise impossible("random", random, "a random.Random")


def listed(argument: str, given: object) -> tuple[Any, ...]:
    """What is given as a list."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise impossible(argument, given, f"a list: write `{argument}=[...]`")
    return tuple(given)


def header(name: str | None) -> str | None:
    """The name of a header, or None."""
    if name is not None and (not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9-]+", name)):
        raise ConfigurationError(
            f"`correlation_header` = {name!r} is impossible: it should be a name such as X-Trace-ID"
        )
    return name


def impossible(argument: str, value: object, wanted: str) -> ConfigurationError:
    """The error that says what an argument should be."""
    what = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    return ConfigurationError(f"`{argument}` has {what}, which is impossible: it should be {wanted}")
