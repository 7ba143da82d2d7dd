"""The results as Markdown: the machine, the tables, the budgets. No host name and no path stands in it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from budgets import Verdict
from figures import Figure, added, figure, of, share_of_bare, share_of_contrib
from rounds import Row, Table

PACKAGES = """
    spanwire httpx httpcore httpx2 httpcore2 h11 anyio httpx-aiohttp aiohttp pydantic
    opentelemetry-api opentelemetry-sdk opentelemetry-instrumentation-httpx
    httpx-retries interlock-cb nopanic httpware stamina
"""
BUDGETS = """## Budgets

Each ratio is the median over the rounds of the ratio within a round. *Added* is the CPU time beyond bare httpx's in the
same round, *contrib's* is what opentelemetry-instrumentation-httpx adds there."""
TABLES = """## Tables

Medians over the rounds, with quartiles. CPU is that of the whole client process, with the export of the spans; wall is
what the caller waited. *Added* is CPU beyond the contender's own baseline, which for httpware is httpx2; it is negative
where a contender saves more of httpx's own work than it adds. Unless the command says `--one-url`, every call has a URL
of its own. The garbage collector is on; the heap of the set-up is frozen, and each slice starts from a collected one.

On loopback a connection is kept as long as the run lasts (`keepalive_expiry=600`), where nothing else is said. That
matters at 20 at once: httpx's pool looks at every idle connection at every turn, and an origin that answers at once
leaves most of its 20 idle. With the default of 5 s the pool shrinks at times, and then costs a third to a half less;
*bare httpx, defaults* is that, and against its cheaper times the shares of the other rows would be higher. Shares of
what the contrib instrumentation adds are not told there, for it adds less than the pool varies by."""
COLUMNS = (
    "contender",
    "CPU us per call (IQR)",
    "wall us per call (IQR)",
    "added CPU us",
    "added / contrib's (IQR)",
    "CPU / bare httpx's (IQR)",
)


def today() -> str:
    """The date in ISO form."""
    return datetime.date.today().isoformat()


def machine(command: str) -> str:
    """What the run was made on and by."""
    lines = [
        f"- Made on {today()} by `{command}`",
        f"- {cpu_model()}, {os.cpu_count()} cores; {platform.system()} {platform.machine()}",
        f"- {platform.python_implementation()} {platform.python_version()} ({', '.join(platform.python_build())}; "
        f"{platform.python_compiler()})",
        "- " + ", ".join(f"{name} {version(name)}" for name in PACKAGES.split()),
    ]
    return "\n".join(lines)


def cpu_model() -> str:
    """The processor by name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def version(package: str) -> str:
    """The installed version, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def section(table: Table) -> str:
    """One table."""
    lines = [f"### {table.section.title}", "", f"{table.rounds} rounds of {table.calls} calls each.", ""]
    if table.origin:
        counted = f"{table.origin.requests:,} requests came over {table.origin.connections} connections."
        lines[2] += f" {counted}"
    lines += [
        f"| {' | '.join(COLUMNS)} |",
        "|---|--:|--:|--:|--:|--:|",
        *(line(table, row) for row in table.rows.values()),
    ]
    return "\n".join(lines)


def line(table: Table, row: Row) -> str:
    """One row, or why it is empty."""
    name = row.contender.name
    if not of(table, name):
        return f"| {name} | {row.failure or 'not measured'} | | | | |"
    more = added(table, name) if table.section.concurrency == 1 else None
    cells = [
        name,
        micros(figure(row.cpu)),
        micros(figure(row.wall)),
        "-" if more is None or name == row.contender.baseline else f"{figure(more).median * 1e6:+.1f}",
        "-" if more is None or name == row.contender.baseline else ratio(share_of_contrib(table, name)),
        ratio(share_of_bare(table, name)),
    ]
    return f"| {' | '.join(cells)} |"


def micros(value: Figure) -> str:
    """Microseconds with their quartiles."""
    low, high = value.quartiles
    return f"{value.median * 1e6:.1f} ({low * 1e6:.1f}-{high * 1e6:.1f})"


def ratio(value: Figure | None) -> str:
    """A ratio with its quartiles."""
    return "-" if value is None else f"{value.median:.2f} ({value.quartiles[0]:.2f}-{value.quartiles[1]:.2f})"


def budgets(verdicts: Sequence[Verdict]) -> str:
    """The table of budgets."""
    lines = [
        "| section | contender | ratio | limit | aim | measured (95 % interval of the median) | |",
        "|---|---|---|--:|--:|--:|---|",
    ]
    for verdict in verdicts:
        budget, measured = verdict.budget, verdict.measured
        told = f"{measured.median:.3f} ({measured.interval[0]:.3f}-{measured.interval[1]:.3f})" if measured else "-"
        cells = [
            budget.section,
            budget.contender,
            budget.unit,
            f"{budget.limit:.2f}",
            f"{budget.aim:.2f}",
            told,
            verdict.word,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def contenders(tables: Sequence[Table]) -> str:
    """What each row is."""
    known = {name: row.contender.what for table in tables for name, row in table.rows.items()}
    return "\n".join(f"- **{name}**: {what}" for name, what in known.items())


def write(path: Path, part: str, body: str) -> None:
    """Replace one part of the results, between its markers, and leave the others."""
    begin, end = f"<!-- {part} begins -->", f"<!-- {part} ends -->"
    text = path.read_text() if path.exists() else "# What a call costs\n\n"
    if begin not in text:
        text += f"{begin}\n{end}\n"
    before, after = text.split(begin)[0], text.split(end)[1]
    path.write_text(f"{before}{begin}\n{body}\n{end}{after}")
