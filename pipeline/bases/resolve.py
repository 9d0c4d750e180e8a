"""A base's packages -> a hashed lock of wheels, for its Python and platform; of torch the CPU build where it can be.

Its CPU build is in a folder of wheels, or on PyTorch's own index; the package index has the CUDA build for Linux.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipeline.bases.target import Target
from pipeline.errors import CourseError, InfrastructureError
from pipeline.locks import PINNED
from pipeline.package_tool import PackageTool
from pipeline.torch_builds import TORCH, of_another_build

DEFAULT_PACKAGES = ("torch", "numpy")
CPU_INDEX = ("--torch-backend", "cpu")
ASK_S = 30.0


@dataclass(frozen=True)
class BaseLock:
    """A lock's text; `options` are those that its wheels are found with."""

    text: str
    options: tuple[str, ...] = ()

    @property
    def packages(self) -> dict[str, str]:
        pins = (one.split("==") for one in PINNED.findall(self.text))
        return {canonicalize_name(name): version for name, version in pins}


def resolve_base(packages: tuple[str, ...], target: Target, tool: PackageTool) -> BaseLock:
    """Locks the packages of a base and all that they need.

    Raises CourseError where they cannot be met with wheels, InfrastructureError where no index can be reached.
    """
    wanted = requirements(packages)
    with tempfile.TemporaryDirectory(prefix="base-") as scratch:
        folder = Path(scratch)
        pins, options = torch_build(wanted, target, tool, folder)
        done, text = compiled([*packages, *pins], target, tool, folder, *options)
        if not done and tool.index_answers(folder) is not None:
            raise InfrastructureError(f"the package index cannot be reached: {text}", hint="try again later")
    if not done:
        listed = ", ".join(packages)
        hint = "choose other versions, or offer wheels in a folder (UV_FIND_LINKS, or `wheels` of the course)"
        raise CourseError(f"no wheels for Python {target.python_version} meet {listed}: {text}", hint=hint)
    lock = BaseLock(text, options)
    for name in of_another_build(lock.packages.get(TORCH, ""), lock.packages):
        raise CourseError(
            f"{name} {lock.packages[name]} of the package index is built for CUDA, and torch here is its CPU build",
            hint=f"put the wheel of {name}'s CPU build into a folder (UV_FIND_LINKS, or `wheels` of the course)",
        )
    return lock


def requirements(packages: tuple[str, ...]) -> dict[str, Requirement]:
    """The packages by name. Raises CourseError for text that is no requirement."""
    try:
        listed = [Requirement(one) for one in packages]
    except InvalidRequirement as error:
        raise CourseError(f"a base's packages: {str(error).splitlines()[0]}", hint="name, or name==version") from None
    return {canonicalize_name(one.name): one for one in listed}


def torch_build(
    wanted: dict[str, Requirement], target: Target, tool: PackageTool, folder: Path
) -> tuple[list[str], tuple[str, ...]]:
    """The pin, or the options, that give torch's CPU build; nothing where it is not to be had or not wanted."""
    torch = wanted.get(TORCH)
    if torch is None or "+" in str(torch.specifier):
        return [], ()
    if tool.wheels:
        found, text = compiled([str(torch)], target, replace(tool, alone=True), folder, "--no-deps")
        if found:
            return [f"{TORCH}=={BaseLock(text).packages[TORCH]}"], ()
    if tool.index is None:
        quick = replace(tool, patient=False)
        found, _ = compiled([str(torch)], target, quick, folder, "--no-deps", *CPU_INDEX)
        if found:
            return [], CPU_INDEX
    return [], ()


def compiled(packages: list[str], target: Target, tool: PackageTool, folder: Path, *options: str) -> tuple[bool, str]:
    """Whether uv could lock these, and the lock or its reason."""
    wanted, lock = folder / "base.in", folder / "base.lock"
    wanted.write_text("".join(f"{one}\n" for one in packages), encoding="utf-8")
    lock.unlink(missing_ok=True)
    command = ["pip", "compile", str(wanted), "--output-file", str(lock), "--generate-hashes", "--only-binary", ":all:"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", *target.options]
    done = tool.run(*command, *options)
    return done.code == 0, lock.read_text(encoding="utf-8") if done.code == 0 else " ".join(done.lines(6).split())
