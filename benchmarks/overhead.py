"""What the resilience and its telemetry cost per call, side by side with other libraries, in one interleaved run.

python benchmarks/overhead.py                 everything, about three minutes; writes RESULTS.md beside this file
python benchmarks/overhead.py --check         only what has a budget; exits with 1 when one is broken
python benchmarks/overhead.py --memory        200,000 calls through one client; exits with 1 when its memory grows
python benchmarks/overhead.py --only stamina --section mock --rounds 15
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import environment  # noqa: F401 - before anything reads it
import memory
import report
import slices
from budgets import BUDGETS, CONCURRENT, LOOPBACK_ASYNC, LOOPBACK_SYNC, MOCK_ASYNC, MOCK_SYNC, judge
from contenders import EVERYWHERE, HTTPX2, WIRES, Contender, Stage
from figures import BASELINE, YARDSTICK
from rounds import Section, run
from sdk import assert_nothing_global

RESULTS = Path(__file__).with_name("RESULTS.md")
CONCURRENT_ONES = tuple(one for one in EVERYWHERE if one.name.startswith(("bare", "spanwire")) or one.name == YARDSTICK)
SECTIONS = (
    Section(MOCK_SYNC, Stage(asynchronous=False, mock=True), EVERYWHERE),
    Section(MOCK_ASYNC, Stage(asynchronous=True, mock=True), EVERYWHERE),
    Section(LOOPBACK_SYNC, Stage(asynchronous=False, mock=False), EVERYWHERE),
    Section(LOOPBACK_ASYNC, Stage(asynchronous=True, mock=False), EVERYWHERE + WIRES),
    Section(CONCURRENT, Stage(asynchronous=True, mock=False), CONCURRENT_ONES + WIRES, concurrency=20),
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=41, help="rounds of each section (default %(default)s)")
    parser.add_argument("--calls", type=int, help=f"calls per slice (default 200; with --memory {memory.CALLS} in all)")
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="contenders whose name has one of these words, beside the yardsticks"
    )
    parser.add_argument("--section", nargs="+", metavar="WORD", help="sections whose title has one of these words")
    parser.add_argument("--check", action="store_true", help="run what has a budget, exit with 1 when one is broken")
    parser.add_argument("--memory", action="store_true", help="watch the resident set instead")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md even from a partial run or a check")
    parser.add_argument(
        "--one-url", action="store_true", help="call the same URL again and again, not another each time"
    )
    parser.add_argument("--seed", type=int, default=20, help="of the order within the rounds")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Section]:
    """The sections to run, with the contenders that play in them."""
    judged = {budget.section for budget in BUDGETS}
    sections = [
        one for one in SECTIONS if named(one.title, options.section) and (one.title in judged or not options.check)
    ]
    return [replace(one, contenders=[c for c in one.contenders if plays(c, one, options)]) for one in sections]


def plays(contender: Contender, section: Section, options: argparse.Namespace) -> bool:
    """Whether a contender was asked for; the yardsticks always are."""
    budgeted = any((budget.section, budget.contender) == (section.title, contender.name) for budget in BUDGETS)
    asked = named(contender.name, options.only) and (budgeted or not options.check)
    return asked or contender.name in (BASELINE, YARDSTICK) or (contender.name == HTTPX2 and not options.check)


def named(name: str, words: Sequence[str] | None) -> bool:
    """Whether a name has one of the words, or no words were given."""
    return not words or any(word.lower() in name.lower() for word in words)


def compare(options: argparse.Namespace, command: str) -> bool:
    """Run the sections, show and write the results; whether every budget held."""
    start, draw = os.getloadavg()[0], random.Random(options.seed)
    tables = [run(section, options.rounds, options.calls or 200, draw) for section in chosen(options)]
    assert_nothing_global()
    verdicts = judge(tables)
    load = f"- Load average {start:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    parts = [f"{report.machine(command)}\n{load}", report.BUDGETS, report.budgets(verdicts), report.TABLES]
    body = "\n\n".join([*parts, *map(report.section, tables), "### The contenders", report.contenders(tables)])
    show(options, "overhead", body, partial=bool(options.only or options.section or options.check or options.one_url))
    return bool(verdicts) and not any(verdict.broken for verdict in verdicts)


def watch(options: argparse.Namespace, command: str) -> bool:
    """Watch the memory of the sampled client in sync and in async, or of another contender; whether it stays flat."""
    names = [one.name for one in EVERYWHERE if named(one.name, options.only or ["spanwire sampled"])]
    grown = [memory.watch(name, colour, options.calls or memory.CALLS) for name in names for colour in (False, True)]
    body = f"## Memory\n\nMade on {report.today()} by `{command}`.\n\n{memory.table(grown)}"
    show(options, "memory", body, partial=bool(options.only or options.calls))
    return all(one.flat for one in grown)


def show(options: argparse.Namespace, part: str, body: str, partial: bool) -> None:
    """Print the results; write them too, unless the run was a partial one."""
    print(body)
    if options.write or not partial:
        report.write(RESULTS, part, body)


def main() -> int:
    """Do what the command line asks; 1 when a budget is broken or memory grows."""
    options = arguments()
    slices.ONE_URL = options.one_url
    command = " ".join(["python benchmarks/overhead.py", *sys.argv[1:]])
    held = (watch if options.memory else compare)(options, command)
    return 0 if held or not (options.check or options.memory) else 1


if __name__ == "__main__":
    sys.exit(main())
