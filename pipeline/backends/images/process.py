"""Images of the process sandbox: folders, put read-only beside each other, and a manifest that names them.

The base is [torch, numpy] with all that they need, out of the pipeline's own environment, hard-linked into the cache.
"""

from __future__ import annotations

import compileall
import csv
import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.backends.images import Base, BuildRequest
from pipeline.backends.images.runner_copy import copy_runner, runner_sha256
from pipeline.embedded.contract import ProcessImage
from pipeline.environments import put
from pipeline.errors import CourseError, InfrastructureError
from pipeline.files import write_json, write_text
from pipeline.package_tool import PackageTool
from pipeline.run import Image
from pipeline.settings import DEFAULT_BASE, BaseRecipe, Course
from pipeline.source import remove_folder
from pipeline.torch_builds import note_of

NAME = DEFAULT_BASE
ROOTS = ("torch", "numpy")
WITHOUT_BYTECODE = re.compile(r"/tests?/|/testing/_internal/")


class ProcessImages:
    """Builds manifests. `cache` keeps bases and copies of the runner, each under the hash of what it holds.

    `course` says what its bases are made of; without one there is the default base alone.
    """

    def __init__(self, cache: Path, course: Course | None = None) -> None:
        self.cache = cache
        self.course = course
        self._twins: dict[str, Base] = {}

    def base(self, name: str) -> Base:
        """What the base provides; the default one's folder is made by the first build that needs it.

        Raises CourseError for a base that cannot be laid out in a folder, InfrastructureError for wheels not to be had.
        """
        recipe = self.course.base(name) if self.course else None
        if recipe is None and name != NAME:
            raise CourseError(f"there is no base {name!r} for the process sandbox", hint=f"there is {NAME!r}")
        if recipe is not None and recipe.image is not None:
            hint = "use --sandbox docker, or give the base a list of packages instead"
            raise CourseError(f"base {name!r} is an image, which the process sandbox cannot lay out", hint=hint)
        if recipe is None or set(recipe.packages or ROOTS) == set(ROOTS):
            return self._base
        if name not in self._twins:
            self._twins[name] = self._twin(recipe)
        return self._twins[name]

    def _twin(self, recipe: BaseRecipe) -> Base:
        from pipeline.bases.twin import twin

        wheels = self.course.wheels if self.course else None
        return twin(recipe.name, recipe.packages, self.cache, PackageTool.with_wheels(wheels, self.cache))

    @cached_property
    def _base(self) -> Base:
        packages = closure(ROOTS)
        digest = digest_of(packages)
        versions = {name: found.version for name, found in packages.items()}
        return Base(
            name=NAME,
            digest=f"sha256:{digest}",
            python_version=platform.python_version(),
            packages=versions,
            metadata={name: found.read_text("METADATA") or "" for name, found in packages.items()},
            folder=self.cache / "bases" / digest / "packages",
            notes=note_of(versions),
        )

    def build(self, request: BuildRequest) -> Image:
        """Writes the manifest of base, environment and code; code is made read-only."""
        base, base_cached, base_size = self._provide(request.base)
        runner, runner_digest = copy_of_runner(self.cache)
        make_read_only(request.source)
        parts = (request.base.digest, request.lock_sha256, request.tree_sha256, runner_digest)
        manifest = ProcessImage(
            reference=request.reference,
            digest=f"sha256:{hashlib.sha256(' '.join(parts).encode()).hexdigest()}",
            # the interpreter itself: through the link of a virtual environment the pipeline's own packages were seen
            python=Path(sys.executable).resolve(),
            base=base,
            environment=request.environment,
            code=request.source,
            runner=runner,
        )
        write_json(request.image_file, manifest.model_dump(mode="json"))
        return Image(
            reference=manifest.reference,
            digest=manifest.digest,
            base=request.base.name,
            base_digest=request.base.digest,
            lock_sha256=request.lock_sha256,
            size_bytes=base_size + request.environment_bytes + size_of(request.source),
            cached=base_cached,
            notes=request.base.notes,
        )

    def runtime(self, reference: str) -> ProcessImage:
        """The image of a managed kind: base and runner, and no code, which comes at /init."""
        made_of = self.base(NAME)
        base, _, _ = self._provide(made_of)
        runner, runner_digest = copy_of_runner(self.cache)
        no_code = self.cache / "no-code"
        no_code.mkdir(mode=0o755, exist_ok=True)
        return ProcessImage(
            reference=reference,
            digest=f"sha256:{hashlib.sha256(f'{made_of.digest} {runner_digest}'.encode()).hexdigest()}",
            python=Path(sys.executable).resolve(),
            base=base,
            environment=None,
            code=no_code,
            runner=runner,
        )

    def push(self, image: Image, _image_file: Path, /) -> Image:
        """Nothing to put anywhere: the folders are on this machine."""
        return image

    def _provide(self, base: Base) -> tuple[Path, bool, int]:
        """The base's folder, whether it was there already, and its size in bytes."""
        if base.folder is None:
            raise InfrastructureError("this base has no folder", hint="build it with the images that it came from")
        marker = base.folder.parent / "size"
        cached = marker.exists()
        if not cached:
            make_base(base.folder.parent)
        return base.folder, cached, int(marker.read_text())


def closure(roots: tuple[str, ...]) -> dict[str, importlib.metadata.Distribution]:
    """The installed distributions that `roots` need, themselves and their extras included, by normalised name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(root, "") for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        name = canonicalize_name(name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise InfrastructureError(
                f"the base needs {name}, which is not installed", hint="run `make setup`"
            ) from None
        for needed in (Requirement(line) for line in found[name].requires or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, one) for one in ("", *sorted(needed.extras))]
    return dict(sorted(found.items()))


def digest_of(packages: dict[str, importlib.metadata.Distribution]) -> str:
    """The hash of interpreter, platform, and the record of each package, which has the hash of each of its files."""
    digest = hashlib.sha256(f"{sys.version}\n{platform.platform(aliased=False, terse=True)}\n".encode())
    for name, distribution in packages.items():
        record = distribution.read_text("RECORD") or ""
        digest.update(f"{name}=={distribution.version}\n{record}\n".encode())
    return digest.hexdigest()


def make_base(folder: Path) -> None:
    """Puts the packages into the cache in one step; of two runs that do so at a time, one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        size, complete = 0, True
        for distribution in closure(ROOTS).values():
            linked, has_bytecode = link_package(distribution, partial / "packages")
            size, complete = size + linked, complete and has_bytecode
        if not complete:
            compile_missing(partial / "packages")
        write_text(partial / "size", str(size))
        partial.chmod(0o755)
        put(partial, folder)
    finally:
        remove_folder(partial)


def link_package(distribution: importlib.metadata.Distribution, packages: Path) -> tuple[int, bool]:
    """Links a package's files and their bytecode; their bytes, and whether every module has bytecode."""
    root, size, complete = str(distribution.locate_file("")), 0, True
    folders: set[str] = set()
    for path in files_of(distribution):
        bytecode = importlib.util.cache_from_source(path) if path.endswith(".py") else None
        for file in (path, bytecode) if bytecode else (path,):
            source, target = f"{root}/{file}", f"{packages}/{file}"
            parent = target.rpartition("/")[0]
            if parent not in folders:
                Path(parent).mkdir(parents=True, exist_ok=True)
                folders.add(parent)
            try:
                link_or_copy(source, target)
                size += Path(target).stat().st_size
            except FileNotFoundError:
                complete = complete and (file != bytecode or bool(WITHOUT_BYTECODE.search(path)))
    return size, complete


def files_of(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """The path of each file of a package below site-packages, bytecode left out, and programs that lie elsewhere."""
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if row and not row[0].startswith(("/", "..")) and ".." not in row[0].split("/") and not row[0].endswith(".pyc"):
            yield row[0]


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES}:
            raise
        shutil.copy2(source, target)


def compile_missing(packages: Path) -> None:
    """Compiles modules without bytecode, but tests: on a read-only folder each start would compile them again.

    Half a minute of one core, which `uv pip install --compile-bytecode` of the pipeline's environment saves.
    """
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-x", WITHOUT_BYTECODE.pattern, str(packages)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def copy_of_runner(cache: Path) -> tuple[Path, str]:
    """A folder that holds the package `runner` and nothing else, and the hash of its files."""
    digest = runner_sha256(sys.version)
    folder = cache / "runners" / digest
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            copy_runner(partial)
            compileall.compile_dir(partial, quiet=2)
            partial.chmod(0o755)
            put(partial, folder)
        finally:
            remove_folder(partial)
    return folder, digest


def make_read_only(folder: Path) -> None:
    """Files 0444, folders 0555: what runs is what was pushed."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            Path(path, name).chmod(0o444)
        Path(path).chmod(0o555)


def size_of(folder: Path) -> int:
    return sum(Path(path, name).lstat().st_size for path, _, names in os.walk(folder) for name in names)
