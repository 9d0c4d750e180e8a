"""The package `runner` as it goes into images: its modules, and their hash."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from pathlib import Path

from pipeline.errors import InfrastructureError


def runner_sha256(also: str) -> str:
    """The hash of the names and contents of its modules, and of what else a copy depends on."""
    package = runner_package()
    digest = hashlib.sha256(also.encode())
    for module in modules(package):
        digest.update(f"{module.relative_to(package)}\0".encode() + hashlib.sha256(module.read_bytes()).digest())
    return digest.hexdigest()


def copy_runner(folder: Path) -> None:
    """Copies the modules into `folder`, below `runner`, and nothing else."""
    package = runner_package()
    for module in modules(package):
        target = folder / "runner" / module.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, target)


def runner_package() -> Path:
    spec = importlib.util.find_spec("runner")
    if spec is None or not spec.submodule_search_locations:
        raise InfrastructureError("the package `runner` is not installed", hint="run `make setup`")
    return Path(next(iter(spec.submodule_search_locations)))


def modules(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))
