"""Where a contender's CPU time goes: its stack is sampled every millisecond of CPU time while it makes calls.

    python benchmarks/attribution.py "spanwire sampled"
    python benchmarks/attribution.py "spanwire sampled" --package opentelemetry --colour async --loopback

Listed are the functions of one package with all that they call, the innermost of them with the package that each had
called, and what was running. Unlike a tracing profiler this leaves the proportions as they are; how often it really
samples is the kernel's choice.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from types import FrameType

import environment  # noqa: F401 - before anything reads it
import origin
from contenders import EVERYWHERE, WIRES, Stage
from rounds import MOCK_URL, WARM_UP
from slices import Slices


class Samples:
    """What was seen: functions of the package with what they call, the innermost of them, the running package."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.inclusive: Counter[str] = Counter()
        self.innermost: Counter[str] = Counter()
        self.running: Counter[str] = Counter()

    def take(self, _: int, frame: FrameType | None) -> None:
        """One sample."""
        if frame is None:
            return
        self.running[package_of(frame)] += 1
        own = [(one, called) for one, called in outwards(frame) if package_of(one) == self.package]
        self.inclusive.update({told(one) for one, _ in own})
        self.innermost[told(own[0][0]) + own[0][1] if own else "(elsewhere)"] += 1

    @contextlib.contextmanager
    def every(self, seconds: float) -> Iterator[None]:
        """Sample while the block runs, by the CPU time of the process."""
        previous = signal.signal(signal.SIGPROF, self.take)
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, previous)

    def show(self, micros_per_call: float, lines: int) -> None:
        """The lists, in microseconds per call."""
        total = sum(self.running.values())
        for title, counted in (
            ("functions with all that they call", self.inclusive),
            ("innermost functions, and the package that they called", self.innermost),
            ("running package", self.running),
        ):
            print(f"\n{title}, us per call of {micros_per_call:.1f} ({total} samples)")
            for name, count in counted.most_common(lines):
                print(f"{count / total * micros_per_call:8.1f}  {name}")


def outwards(frame: FrameType | None) -> Iterator[tuple[FrameType, str]]:
    """A frame and its callers, each with the package that it had called."""
    called = ""
    while frame is not None:
        yield frame, called
        called = f" > {package_of(frame)}"
        frame = frame.f_back


def package_of(frame: FrameType) -> str:
    """The top-level package of a frame."""
    return str(frame.f_globals.get("__name__", "?")).partition(".")[0]


def told(frame: FrameType) -> str:
    """A frame as module and function."""
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[one.name for one in EVERYWHERE + WIRES])
    parser.add_argument("--package", default="spanwire", help="whose functions to list (default %(default)s)")
    parser.add_argument("--colour", choices=["sync", "async"], default="sync")
    parser.add_argument("--loopback", action="store_true", help="on loopback instead of MockTransport")
    parser.add_argument("--at-once", type=int, default=1, help="concurrent callers, async only")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=40)
    return parser.parse_args()


def main() -> None:
    """Warm up, sample, show."""
    asked = options()
    (contender,) = [one for one in EVERYWHERE + WIRES if one.name == asked.name]
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(origin.running()).url if asked.loopback else MOCK_URL
        slices = Slices(Stage(asked.colour == "async", mock=not asked.loopback), url, asked.at_once)
        stack.callback(slices.close)
        player, samples = slices.open(contender), Samples(asked.package)
        stack.callback(slices.end, player)
        slices.measure(player, WARM_UP)
        with samples.every(0.001):
            cpu, _ = slices.measure(player, asked.calls)
        samples.show(cpu * 1e6, asked.lines)


if __name__ == "__main__":
    main()
