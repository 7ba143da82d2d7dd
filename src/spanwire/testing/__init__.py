"""Tools to test what is built on spanwire: a fake clock, virtual time, a log of decisions, a faulty origin, telemetry.

With `spanwire[testing]` installed, pytest finds these fixtures by itself:

| fixture | gives |
| --- | --- |
| `spanwire_clock` | `FakeClock`: `Client(clock=spanwire_clock)` waits without taking time |
| `spanwire_recorder` | `Recorder`: `Client(listeners=[spanwire_recorder])` logs attempts, waits and decisions |
| `spanwire_origin` | `FaultyOrigin`: a real origin that misbehaves as told |
| `spanwire_telemetry` | `SpanwireTelemetry`: `Client(**spanwire_telemetry.providers)` tells into memory |
| `spanwire_virtual_time` | `VirtualTime`: runs async code on trio, where time passes only when nothing else happens |

```python
def test_a_throttled_call_is_tried_again(spanwire_origin, spanwire_clock, spanwire_recorder):
    spanwire_origin.script(503, 200)
    with spanwire.Client(clock=spanwire_clock, listeners=[spanwire_recorder]) as client:
        assert client.get(spanwire_origin.url).status_code == 200
    assert spanwire_recorder.attempts == ["attempt 1 503", "attempt 2 200"]
```

Nothing is imported before it is used: pytest loads this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .capture import SpanwireTelemetry
    from .clock import FakeClock
    from .origin import Answer, FaultyOrigin, Seen
    from .recorder import Recorder
    from .virtual import VirtualTime, in_virtual_time

__all__ = [
    "Answer",
    "FakeClock",
    "FaultyOrigin",
    "Recorder",
    "Seen",
    "SpanwireTelemetry",
    "VirtualTime",
    "in_virtual_time",
]

_HOME = {
    "Answer": "origin",
    "FakeClock": "clock",
    "FaultyOrigin": "origin",
    "Recorder": "recorder",
    "Seen": "origin",
    "SpanwireTelemetry": "capture",
    "VirtualTime": "virtual",
    "in_virtual_time": "virtual",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
