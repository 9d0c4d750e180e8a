"""Builds a base on a docker engine: packages are resolved and unpacked out here, compiled by its Python, laid in."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from pipeline.bases.base_images import LABEL, REPOSITORY, BaseImage, BaseLabel, find_base
from pipeline.bases.building import OURS, build_image, name_image, remove_unfinished
from pipeline.bases.bytecode import compile_packages
from pipeline.bases.inside import Inside, inside
from pipeline.bases.pulling import import_rootfs, provide
from pipeline.bases.resolve import DEFAULT_PACKAGES, BaseLock, requirements, resolve_base
from pipeline.bases.running import run_python
from pipeline.bases.target import Target
from pipeline.bases.unpack import described, unpack_base
from pipeline.embedded.docker.engine import Engine
from pipeline.embedded.docker.images import Registry
from pipeline.package_tool import PackageTool
from pipeline.settings import BaseRecipe
from pipeline.source import remove_folder
from pipeline.torch_builds import is_cuda

BEGIN_WITH = "python:3.12-slim"
DOCKERFILE = 'FROM {begun}\nLABEL {ours}="base"\nCOPY --chown=0:0 packages {site}\n'
TRY = "import importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
LARGE = "torch is the CUDA build, some 5 GB: its CPU build was found in no folder of wheels (UV_FIND_LINKS)"
PARTIAL, STALE_S = ".partial-", 3600
RULES = 1
"""Counted up where the same packages would be laid out in another way."""


@dataclass(frozen=True)
class Builder:
    """What bases are built with. `say` gets a line for each step."""

    engine: Engine
    tool: PackageTool
    cache: Path
    registry: Registry | None
    say: Callable[[str], None]

    def build(self, recipe: BaseRecipe, reference: str) -> BaseImage:
        """Builds a base and gives it its name; one that is made of the same is there already.

        Raises CourseError for a recipe that cannot be followed, InfrastructureError.
        """
        remove_unfinished(self.engine)
        begun = self.begin(recipe)
        python = inside(self.engine, begun, self.cache)
        self.say(f"Python {python.python_version}, wheels for {python.platform}")
        target = Target(python.python_version, python.platform)
        lock = resolve_base(recipe.packages or DEFAULT_PACKAGES, target, self.tool)
        self.say(f"packages: {', '.join(f'{name} {version}' for name, version in lock.packages.items())}")
        if is_cuda(lock.packages):
            self.say(LARGE)
        made_of = hashlib.sha256(f"{recipe.name} {begun} {RULES}\n{lock.text}".encode()).hexdigest()
        kept = f"{REPOSITORY}:{made_of[:32]}"
        if find_base(self.engine, kept) is None:
            name_image(self.engine, self.make(recipe, begun, python, lock, made_of), kept)
        else:
            self.say("there already")
        name_image(self.engine, kept, reference)
        built = find_base(self.engine, reference)
        assert built is not None, "it has that name now"
        return built

    def begin(self, recipe: BaseRecipe) -> str:
        """The id of the image that the base begins with."""
        if recipe.rootfs is not None:
            return import_rootfs(self.engine, recipe.rootfs)
        return provide(self.engine, recipe.from_image or BEGIN_WITH, self.registry)

    def make(self, recipe: BaseRecipe, begun: str, python: Inside, lock: BaseLock, made_of: str) -> str:
        """Unpacks, compiles, builds and tries; the image's id."""
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=without_stale(self.cache / "bases")) as folder:
            packages = Path(folder, "packages")
            size = unpack_base(lock, Target(python.python_version, python.platform), packages, self.tool)
            self.say(f"unpacked, {size / 2**20:.0f} MB; compiling with the image's Python")
            compile_packages(self.engine, begun, packages, python.site[0])
            versions, metadata = described(packages)
            told = {"packages": python.packages | versions, "metadata": python.metadata | metadata}
            label = BaseLabel(name=recipe.name, made_of=made_of, inside=python.model_copy(update=told))
            labels = {LABEL: label.model_dump_json()}
            text = DOCKERFILE.format(ours=OURS, begun=begun, site=python.site[0])
            built = build_image(self.engine, text, {"packages": packages}, labels=labels)
            modules = modules_of(packages, requirements(recipe.packages or DEFAULT_PACKAGES))
        run_python(self.engine, built.id, TRY.format(modules=modules))
        self.say(f"can be imported in it: {', '.join(modules)}")
        return built.id


def without_stale(folder: Path) -> Path:
    """The folder, without what a build that was killed has left there: older than any build takes."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{PARTIAL}*"):
        if left.stat().st_mtime < time.time() - STALE_S:
            remove_folder(left)
    return folder


def modules_of(packages: Path, wanted: Collection[str]) -> list[str]:
    """The modules by which these packages are imported: of their own name, else all that are not private."""
    modules: list[str] = []
    for one in importlib.metadata.distributions(path=[str(packages)]):
        name = canonicalize_name(one.metadata["Name"])
        if name in wanted:
            tops = {file.parts[0].removesuffix(".py") for file in one.files or () if file.suffix == ".py"}
            public = sorted(top for top in tops if top.isidentifier() and not top.startswith("_"))
            own = name.replace("-", "_")
            modules += [own] if own in public else public
    return sorted(modules)
