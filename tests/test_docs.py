"""README and docs: what they show runs, what they link is there, and what they should name is named.

A comment above a block says what is special about it:

    <!-- no-run: why -->        it is not run
    <!-- origin: 503 200 -->    the statuses that the stand-in origin gives next; it answers for every host
    <!-- output -->             what the block before printed; times, ports and ids may differ
    <!-- file: policy.yaml -->  a file that later blocks of the page find by this name
    <!-- run -->                a shell session that is run, against `examples/flaky_origin.py`

The blocks of a page run in order and share their names. A page with `<!-- own process -->` runs in one of its own.
`python tests/test_docs.py --write` puts into the pages what their blocks print now.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import httpx
import pytest

import spanwire
from spanwire import spans
from spanwire.cli.entry import parser
from spanwire.decisions import CLIENT, DECISIONS, METRICS, described
from spanwire.loading import OTHERS
from spanwire.testing import Answer, FaultyOrigin

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")])
GUIDE = ROOT / "docs" / "guide"
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_BLOCK = re.compile(r"((?:^<!-- [^\n]* -->\n)*)^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_POLICY_FILES = {"yaml": ".yaml", "toml": ".toml", "json": ".json"}


class Block(NamedTuple):
    """A fenced block, and what the comments above it say."""

    language: str
    text: str
    line: int
    span: tuple[int, int]
    notes: dict[str, str]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in _BLOCK.finditer(text):
        lines = [line.removeprefix("<!-- ").removesuffix(" -->") for line in found[1].splitlines()]
        notes = dict(line.partition(": ")[::2] for line in lines)
        start = found.start(3)
        yield Block(found[2], found[3], text.count("\n", 0, start) + 1, (start, found.end(3)), notes)


def everything() -> str:
    """All pages as one text."""
    return "\n".join(page.read_text() for page in PAGES)


# -- running a page ---------------------------------------------------------------------------------------------------


class _Rerouted:
    """A wire for which every host is the origin on this machine."""

    def __init__(self, wire: Any, port: int) -> None:
        self._wire, self._port = wire, port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def _to(self, request: httpx.Request) -> httpx.Request:
        url = request.url
        if url.host not in ("127.0.0.1", "localhost"):
            url = url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return httpx.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )


class _Sync(_Rerouted, httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = self._wire.handle_request(self._to(request))
        return response

    def close(self) -> None:
        self._wire.close()


class _Async(_Rerouted, httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self._wire.handle_async_request(self._to(request))
        return response

    async def aclose(self) -> None:
        await self._wire.aclose()


class Page:
    """One page, being run: its blocks share a namespace, a directory and an origin."""

    def __init__(self, path: Path, origin: FaultyOrigin) -> None:
        self.text = path.read_text()
        self.names = vars(types.ModuleType("docs"))
        self.printed = ""
        self.outputs: list[tuple[Block, str]] = []
        self._path, self._origin = path, origin

    def run(self) -> None:
        """Run its blocks; what they printed where the page shows it is in `outputs`."""
        for block in blocks(self.text):
            if "no-run" in block.notes:
                assert block.notes["no-run"], f"line {block.line}: say why it is not run"
            else:
                self._run(block)

    def _run(self, block: Block) -> None:
        if "origin" in block.notes:
            answers = [Answer(int(status), _JSON, _INVOICE) for status in block.notes["origin"].split()]
            self._origin.script(*answers)
        if "file" in block.notes:
            Path(block.notes["file"]).write_text(block.text)
        if "output" in block.notes:
            self.outputs.append((block, self.printed))
        elif block.language == "python":
            self.printed = self._python(block)
        elif "run" in block.notes:
            self.outputs.append((block, _session(block)))

    def _python(self, block: Block) -> str:
        source = "\n" * (block.line - 1) + block.text
        code: Any = compile(source, str(self._path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, self.names))
            else:
                exec(code, self.names)
        return out.getvalue()


_JSON, _INVOICE = {"content-type": "application/json"}, '{"id": 42, "state": "paid"}'


def _session(block: Block) -> str:
    """A shell session as it goes now: each command with what it prints."""
    from examples import flaky_origin

    with contextlib.redirect_stdout(io.StringIO()):
        server = flaky_origin.serve(0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        return "".join(
            f"$ {command}\n{_shell(command.replace('127.0.0.1:8000', f'127.0.0.1:{server.server_port}'))}"
            for command in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.RequestHandlerClass.known.clear()  # type: ignore[attr-defined]


def _shell(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "spanwire"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "spanwire", *arguments],
        env=_environ() | {"COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


@contextlib.contextmanager
def standing_in() -> Iterator[FaultyOrigin]:
    """Within it every host is an origin on this machine, and the directory is an empty one."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(FaultyOrigin())
        origin.script(Answer(200, _JSON, _INVOICE))
        for module in (spanwire.client, spanwire.transport):
            for name, kind in (("sync_wire", _Sync), ("async_wire", _Async)):
                make: Any = getattr(module, name)
                stack.enter_context(
                    mock.patch.object(
                        module, name, lambda *a, make=make, kind=kind, **k: kind(make(*a, **k), origin.port)
                    )
                )
        stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(spanwire.signals.EVERYWHERE.clear)
        stack.enter_context(mock.patch.dict(sys.modules, {"docs": types.ModuleType("docs")}))
        yield origin


def run(path: Path) -> Page:
    """Run a page."""
    with standing_in() as origin:
        page = Page(path, origin)
        page.run()
    return page


_VOLATILE = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "TRACE"),
    (re.compile(r", waited [\d.]+ ms for a connection|\bwaited [\d.]+ ms for a connection"), ""),
    (re.compile(r"(?m)^( +time:?) .*$"), r"\1"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "TIME"),
    (re.compile(r"\([^()]*; attempts: \d+\)"), "(...)"),
    (re.compile(r"deadline_left [\d.]+"), "deadline_left N"),
    (re.compile(r"\b\d+(\.\d+(e-\d+)?|e-\d+)\b"), "N"),
    (re.compile(r"[\u2501\u2500]{2,}|(?<= )[\u2501\u2500](?=$)", re.MULTILINE), ""),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" +$", re.MULTILINE), ""),
)


def steady(text: str) -> str:
    """A printed text without what differs from run to run."""
    for pattern, put in _VOLATILE:
        text = pattern.sub(put, text)
    return text.strip()


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(name: str) -> None:
    path = ROOT / name
    if "<!-- own process -->" in path.read_text():
        command = [sys.executable, "-W", "error", __file__, name]
        done = subprocess.run(command, env=_environ(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    else:
        check(run(path))


def _environ() -> dict[str, str]:
    paths = [os.environ.get("PYTHONPATH", ""), str(ROOT), str(ROOT / "src")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def check(page: Page) -> None:
    """Compare what a page shows with what its blocks printed."""
    for block, printed in page.outputs:
        found, shown = steady(printed), steady(block.text)
        remedy = f"line {block.line}: `python tests/test_docs.py --write` puts in what is printed now:\n{printed}"
        assert found == shown, remedy


# -- files and commands -----------------------------------------------------------------------------------------------

POLICIES = [
    pytest.param(block, id=f"{name}:{block.line}")
    for name in NAMES
    for block in blocks((ROOT / name).read_text())
    if block.language in _POLICY_FILES and "no-policy" not in block.notes and "output" not in block.notes
]


@pytest.mark.parametrize("block", POLICIES)
def test_a_policy_in_the_docs_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / f"policy{_POLICY_FILES[block.language]}"
    path.write_text(block.text)
    spanwire.Policy.from_file(path)


VARIABLES = [
    pytest.param(dict(found), id=f"{name}:{block.line}")
    for name in NAMES
    for block in blocks((ROOT / name).read_text())
    if block.language == "sh"
    and (found := re.findall(r"\b(SPANWIRE_\w+)=('[^']*'|\S+)", re.sub(r"#.*", "", block.text)))
]


@pytest.mark.parametrize("variables", VARIABLES)
def test_variables_in_the_docs_are_possible(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.strip("'"))
    spanwire.Policy.from_env()
    settings = [name for name in variables if name.removeprefix("SPANWIRE_") not in OTHERS]
    assert not settings or spanwire.Policy.from_env() != spanwire.Policy()


def _commands() -> Iterator[str]:
    for name in NAMES:
        for block in blocks((ROOT / name).read_text()):
            if block.language in ("sh", "console"):
                for line in block.text.splitlines():
                    if found := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*spanwire (.*?)(?: *[|&#].*)?$", line):
                        yield found[1]


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_a_command_in_the_docs_is_one(command: str) -> None:
    assert hasattr(parser().parse_args(shlex.split(command)), "run")


def test_the_queries_in_the_docs_name_metrics_that_there_are() -> None:
    known = {name.replace(".", "_") for name in METRICS}
    queries = [
        block.text for name in NAMES for block in blocks((ROOT / name).read_text()) if block.language == "promql"
    ]
    asked = {word for query in queries for word in re.findall(r"\b(spanwire_\w+)[{\[]", query)}
    assert asked
    assert {re.sub(r"(_seconds)?(_total|_bucket|_count|_sum)?$", "", word) for word in asked} <= known


# -- links ------------------------------------------------------------------------------------------------------------


def _anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = _BLOCK.sub("", path.read_text())
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_within_the_repository_leads_somewhere(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", path.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there), target


# -- what must be named -----------------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_docs() -> None:
    text = everything()
    assert [name for name in spanwire.__all__ if not re.search(rf"\b{name}\b", text)] == []


def _environment() -> set[str]:
    """The environment variables that the code names."""
    found = {f"SPANWIRE_{name}" for name in OTHERS}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                pieces = [piece.value if isinstance(piece, ast.Constant) else "{}" for piece in node.values]
                found |= (
                    {"".join(map(str, pieces)).format(signal) for signal in ("TRACES", "METRICS", "LOGS")}
                    if (pieces[0] in ("OTEL_", "OTEL_EXPORTER_OTLP_"))
                    else set()
                )
    return {name for name in found if re.fullmatch(r"(OTEL|SPANWIRE)_[A-Z_]*[A-Z]|NO_COLOR|FORCE_COLOR", name)}


def test_every_environment_variable_is_in_the_docs() -> None:
    text = everything()
    names = _environment()
    assert {"SPANWIRE_EVENTS", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"} <= names
    assert sorted(name for name in names if f"`{name}" not in text) == []


SETTINGS = {
    "timeout.md": (spanwire.Timeout,),
    "retry.md": (
        spanwire.Retry, spanwire.RetryBudget, spanwire.Exponential, spanwire.DecorrelatedJitter, spanwire.Fixed
    ),
    "circuit-breaker.md": (spanwire.CircuitBreaker,),
    "fallback.md": (spanwire.Fallback,),
    "connection.md": (spanwire.Connection,),
}  # fmt: skip


@pytest.mark.parametrize("page", SETTINGS)
def test_every_setting_stands_in_its_table_with_its_default(page: str) -> None:
    text = (GUIDE / page).read_text()
    for part in SETTINGS[page]:
        for name, field in part.model_fields.items():
            if name != "kind":
                found = re.findall(rf"^\| `{name}` \| ([^|]*) \|", text, re.MULTILINE)
                assert any(_says(cell, field.default) for cell in found), f"{part.__name__}.{name}: {found}"


def _says(cell: str, default: Any) -> bool:
    """Whether a cell of a table tells a default."""
    if isinstance(default, bool) or default is None:
        return cell in {None: ("off", "none", "all"), True: ("yes",), False: ("no",)}[default]
    if isinstance(default, frozenset | tuple) and len(default) < 20:
        wanted = {getattr(one, "__name__", None) or f"{one:g}" if not isinstance(one, str) else one for one in default}
        return {one.strip("` ") for one in cell.split(",")} == (wanted or {"none"})
    if isinstance(default, int | float):
        return cell == f"{default:g}"
    return cell in (f"`{default}`", f"`{type(default).__name__}()`", "see below")


def test_what_the_docs_say_of_spanwire_is_there() -> None:
    """`spanwire.x.y` in backticks is a name to import, or one of the vocabulary."""
    told = {*DECISIONS, *METRICS}
    told |= {attribute.key for kind in DECISIONS.values() for attribute in described(kind).values()}
    told |= {attribute.key for metric in METRICS.values() for attribute in metric.attributes}
    told |= {placed.attribute.key for shape in spans.SPANS for placed in shape.attributes}
    told |= {spans.RELATION.key, CLIENT.key, "spanwire.http"}  # the last is a logger
    for name in sorted(set(re.findall(r"`(spanwire\.[A-Za-z_.]+[A-Za-z_])", everything()))):
        if name in told or any(one.startswith(f"{name}.") for one in told):
            continue
        assert _importable(name), name


def _importable(name: str) -> bool:
    import importlib

    module, _, rest = name.partition(".")
    found: Any = importlib.import_module(module)
    for step in rest.split("."):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{getattr(found, '__name__', '')}.{step}")
        if not hasattr(found, step):
            return False
        found = getattr(found, step)
    return True


# -- as a program -----------------------------------------------------------------------------------------------------


def write(path: Path) -> None:
    """Put into a page what its blocks print now."""
    page = run(path)
    text = page.text
    for block, printed in reversed(page.outputs):
        shown = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
        start, end = block.span
        text = text[:start] + re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", shown) + text[end:]
    path.write_text(text)


def main(arguments: list[str]) -> None:
    """Check one page, or write all: each in a process of its own, with a collector."""
    from tests.cli.servers import Receiver

    if arguments == ["--write"]:
        for name in NAMES:
            subprocess.run([sys.executable, "-W", "error", __file__, "--write", name], env=_environ(), check=True)
        return
    path = ROOT / arguments[-1]
    with Receiver() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        (write if arguments[0] == "--write" else _checked)(path)
        assert collector.spans or path.name != "telemetry.md"


def _checked(path: Path) -> None:
    check(run(path))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    main(sys.argv[1:])
