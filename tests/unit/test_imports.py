"""Who may import whom, who may print, and who chooses implementations (docs/design.md, rooms)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    "pipeline.cli",
    "pipeline.experiments",
    "pipeline.flow",
    "pipeline.stages",
    "pipeline.jobs",
    "pipeline.training",
)
CHOOSER = "pipeline.backends.choose"
ONE_FOR_ALL = {"store", "functions"}  # decisions 1 and 14: one protocol each, nothing to choose
RUNNER_MAY_USE = {"numpy", "torch", "runner"}


@dataclass(frozen=True)
class Module:
    name: str
    tree: ast.Module
    imports: tuple[tuple[str, int], ...]


@cache
def modules() -> tuple[Module, ...]:
    return tuple(read(path) for folder in ("pipeline", "runner") for path in sorted((ROOT / folder).rglob("*.py")))


def read(path: Path) -> Module:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Module(name, tree, tuple(imports(tree)))


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that is named, those in functions too; `from a import b` names both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer(module: str) -> int:
    """0 is the top; what is in no layer serves all of them and lies below."""
    return next((number for number, package in enumerate(LAYERS) if inside(module, package)), len(LAYERS))


def test_pipeline_and_runner_never_meet() -> None:
    crossings = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports
        if inside(name, "runner" if inside(module.name, "pipeline") else "pipeline")
    ]
    assert crossings == []


def test_the_runner_needs_only_the_standard_library_numpy_and_torch() -> None:
    foreign = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports
        if inside(module.name, "runner") and name.split(".")[0] not in RUNNER_MAY_USE | sys.stdlib_module_names
    ]
    assert foreign == []


@pytest.mark.parametrize("module", ["pipeline.cli.git_shell", "pipeline.submissions.hook_client"])
def test_what_each_push_starts_imports_little(module: str) -> None:
    program = f"import {module}, sys; print(*sorted(sys.modules))"
    imported = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout
    assert {"pydantic", "git", "rich", "requests", "typer"} & set(imported.split()) == set()


def test_imports_point_one_way() -> None:
    upward = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports
        if module.name != "pipeline.__main__" and layer(name) < layer(module.name)
    ]
    assert upward == []


def test_one_file_chooses_implementations() -> None:
    """`pipeline.backends.AXIS` is a contract; `pipeline.backends.AXIS.x` one way to keep it."""
    choosing = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports
        if (parts := name.split("."))[:2] == ["pipeline", "backends"]
        and len(parts) > 3
        and parts[2] not in ONE_FOR_ALL
        and (ROOT.joinpath(*parts).with_suffix(".py").exists() or ROOT.joinpath(*parts).is_dir())
        and not inside(module.name, ".".join(parts[:3]))
        and module.name != CHOOSER
    ]
    assert choosing == []


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    yield from ((ast.unparse(node.func), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_program(tree: ast.Module) -> bool:
    """A file that is run as a process of its own, by a server or a stage."""
    return any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body)


def test_only_the_command_line_prints_or_exits() -> None:
    printing, leaving = {"print", "sys.stdout.write", "sys.stderr.write"}, {"sys.exit", "os._exit", "exit", "quit"}
    found = [
        f"{module.name}:{line} calls {call}"
        for module in modules()
        if inside(module.name, "pipeline") and not inside(module.name, "pipeline.cli")
        for call, line in calls(module.tree)
        if call in printing or (call in leaving and not is_program(module.tree))
    ]
    assert found == []


@pytest.mark.parametrize("forbidden", ["pickle", "marshal", "shelve"])
def test_nothing_is_unpickled(forbidden: str) -> None:
    assert [module.name for module in modules() if any(inside(name, forbidden) for name, _ in module.imports)] == []
