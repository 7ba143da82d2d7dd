"""The shape of the house, held by reading the code: imports run downwards, policies await what they may."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import spanwire

ROOT = Path(spanwire.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    # the words that everyone speaks
    ("_version", "loopdeadline", "nothing", "target", "tree"),
    ("decisions", "redact"),
    ("errors",),
    ("call", "config"),
    ("ledger", "loading", "metrics"),
    ("figures", "report", "signals", "spans"),
    # the outside world
    ("wire",),
    ("runtime",),
    # what decides, and what tells
    ("kit",),
    ("policies",),
    ("body", "checks", "interceptors", "override", "pipeline"),
    ("telemetry",),
    # the httpx seam
    ("engine",),
    ("transport",),
    ("arguments", "authentication", "cookies"),
    ("client",),
    ("",),  # the package itself
    # what stands on the client
    ("testing",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. A module belongs to the first word of its name; it imports what lies below or its own package."""
SHARED = ("policies", "pipeline", "engine", "interceptors", "body", "signals", "kit", "telemetry", "override")
"""Code that runs in every colour."""


class Module(NamedTuple):
    name: str
    path: Path

    @property
    def home(self) -> str:
        """The layer's word that it belongs to."""
        return self.name.partition(".")[0]

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path)


class Import(NamedTuple):
    name: str
    """Of ours as seen from the package, others with a colon before them."""
    lazy: bool


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules() -> list[Module]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


MODULES = {module.name: module for module in modules()}


def imports(module: Module) -> list[Import]:
    """What a module imports, but for what only types need."""
    package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
    return list(_imports(module.tree, [part for part in package if part], lazy=False))


def _imports(node: ast.AST, package: list[str], lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (Import(f":{alias.name}", lazy) for alias in names)
            case ast.ImportFrom(module=name, names=names, level=0):
                yield from (Import(f":{name}.{alias.name}", lazy) for alias in names)
            case ast.ImportFrom(module=name, names=names, level=level):
                base = [*package[: len(package) - level + 1], *(name or "").split(".")]
                for alias in names:
                    full = ".".join(part for part in (*base, alias.name) if part)
                    yield Import(full if full in MODULES else full.rpartition(".")[0], lazy)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _imports(child, package, lazy=True)
            case _:
                yield from _imports(child, package, lazy)


def height(name: str) -> int:
    home = name.partition(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if home in layer]
    assert found, f"`{home}` has no place in the house: put it into LAYERS, as low as it can be"
    return found[0]


def in_folder(*homes: str) -> list[Module]:
    return [module for module in MODULES.values() if module.home in homes]


def each(found: list[Module]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("module", [pytest.param(module, id=module.name or "spanwire") for module in found])


# -- imports run downwards ---------------------------------------------------------------------------------------------


@each(list(MODULES.values()))
def test_a_module_imports_only_what_lies_below_it(module: Module) -> None:
    for found in imports(module):
        if found.name.startswith(":") or (found.name.partition(".")[0] == module.home and module.home):
            continue
        assert height(found.name) < height(module.name), f"{module.name} imports {found.name}, which lies above it"


def test_no_module_waits_for_itself_to_be_imported() -> None:
    """Nothing is imported in a circle, whole packages taken as what their `__init__` imports."""
    below = {
        name: {found.name for found in imports(module) if not found.lazy and not found.name.startswith(":")} - {name}
        for name, module in MODULES.items()
        if name
    }
    while free := [name for name, needs in below.items() if not needs & below.keys()]:
        for name in free:
            del below[name]
    assert not below


def test_every_word_of_the_layers_is_a_module() -> None:
    assert {word for layer in LAYERS for word in layer} <= {module.home for module in MODULES.values()} | {""}


# -- who may import what -----------------------------------------------------------------------------------------------


@each([module for module in MODULES.values() if module.home not in ("telemetry", "cli", "testing")])
def test_opentelemetry_is_imported_in_telemetry_only(module: Module) -> None:
    assert not [found for found in imports(module) if found.name.startswith(":opentelemetry")]


@each([module for module in in_folder("telemetry") if module.name != "telemetry._sdk"])
def test_telemetry_needs_the_api_only_and_no_sdk(module: Module) -> None:
    assert not [
        found for found in imports(module) if found.name.startswith((":opentelemetry.sdk", ":opentelemetry.exporter"))
    ]


@each(in_folder("policies"))
def test_policies_touch_neither_clocks_nor_loops_nor_chance(module: Module) -> None:
    banned = ("opentelemetry", "anyio", "asyncio", "trio", "sniffio", "time", "socket", "concurrent")
    for found in imports(module):
        assert found.name.lstrip(":").partition(".")[0] not in banned
        assert not found.name.startswith(":random.") or found.name == ":random.Random"
    used = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    assert not [
        name for name in used if name.startswith("random.") and name != "random.Random" and _is_module(module, name)
    ]
    assert used.isdisjoint({"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"})


def _is_module(module: Module, name: str) -> bool:
    """Whether this name is of an imported module, and no argument that is called so."""
    return Import(f":{name.partition('.')[0]}", False) in imports(module)


@each([module for module in in_folder("policies") if module.path.name == "core.py"])
def test_cores_know_neither_the_kit_nor_the_runtime(module: Module) -> None:
    assert not [
        found for found in imports(module) if found.name.partition(".")[0] in ("kit", "runtime", "signals", "engine")
    ]


def test_only_the_seam_subclasses_the_clients_of_httpx() -> None:
    bases = {
        module.name: {
            ast.unparse(base) for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef) for base in node.bases
        }
        for module in MODULES.values()
    }
    assert [name for name, found in bases.items() if found & {"httpx.Client", "httpx.AsyncClient"}] == ["client"]


@each(list(MODULES.values()))
def test_no_private_name_of_httpx_is_imported(module: Module) -> None:
    used = [ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    assert not [name for name in used if re.search(r"^httpx\..*\b_[a-z]", name)]
    assert not [found for found in imports(module) if found.name.startswith(":httpx._")]


# -- what is awaited ---------------------------------------------------------------------------------------------------


def awaited() -> list[tuple[str, str]]:
    """Every `await` in the policies, with the module that it stands in."""
    found = []
    for module in in_folder("policies"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Await):
                found.append((module.name, ast.unparse(node.value)))
            elif isinstance(node, ast.AsyncWith):
                found.extend((module.name, ast.unparse(item.context_expr)) for item in node.items)
    return found


@pytest.mark.parametrize(("module", "what"), awaited())
def test_a_policy_awaits_the_rest_of_the_chain_the_runtime_and_its_own_helpers(module: str, what: str) -> None:
    """Anything else would suspend the sync client, or bind the policy to one event loop."""
    called = ast.parse(what, mode="eval").body
    assert isinstance(called, ast.Call), f"{module} awaits {what}, which is no call"
    match called.func:
        case ast.Name(id="call"):
            return
        case ast.Attribute(value=ast.Name(id="io")):
            return
        case ast.Attribute(value=ast.Name(id="self"), attr=name) | ast.Name(id=name):
            assert name in helpers(module.rpartition(".")[0]), f"{module} awaits {what}, which is no helper of its own"
        case _:
            pytest.fail(f"{module} awaits {what}: it may await `call(...)`, `io.*(...)` and its own helpers")


@functools.cache
def helpers(package: str) -> frozenset[str]:
    """The coroutine functions of a package."""
    trees = [module.tree for name, module in MODULES.items() if name.startswith(package)]
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))


@each(in_folder("policies"))
def test_a_policy_iterates_over_nothing_asynchronously(module: Module) -> None:
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.AsyncFor)]
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.comprehension) and node.is_async]


@each(in_folder(*SHARED))
def test_there_are_no_async_generators_in_shared_code(module: Module) -> None:
    """Their finalisers want an event loop, which the sync client has not."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            assert not [inner for inner in _own(node) if isinstance(inner, ast.Yield | ast.YieldFrom)], node.name


def _own(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            left.extend(ast.iter_child_nodes(node))


# -- folders and files -------------------------------------------------------------------------------------------------


def folders() -> list[str]:
    return sorted(
        path.name for path in (ROOT / "policies").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    )


@pytest.mark.parametrize("folder", folders())
def test_a_policys_folder_has_the_same_names_as_the_others(folder: str) -> None:
    files = {path.stem for path in (ROOT / "policies" / folder).glob("*.py")}
    assert {"config", "policy", "decisions"} <= files
    assert "core" in files or folder == "timeout", "the timeout decides nothing but whether its time is up"


@pytest.mark.parametrize("folder", folders())
def test_what_a_policys_files_are_named_after_stands_in_them(folder: str) -> None:
    def classes(name: str) -> set[str]:
        tree = MODULES[f"policies.{folder}.{name}"].tree
        return {
            ast.unparse(base).partition("[")[0]
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        }

    assert "Part" in classes("config")
    assert "Layer" in classes("policy")
    assert classes("decisions") & {"Decision", "_Evidence"}


@each(list(MODULES.values()))
def test_a_file_is_one_idea(module: Module) -> None:
    assert len(module.path.read_text().splitlines()) <= 400


@each([module for module in MODULES.values() if module.name != "_version"])
def test_a_file_begins_by_saying_what_it_is(module: Module) -> None:
    first, *_ = (ast.get_docstring(module.tree) or "").split("\n\n")
    assert first.endswith((".", ":", "`"))
