"""Images of a docker engine: base, environment, runner and code, laid on each other without running anything."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

from pipeline.backends.images import ENVIRONMENT, RUNNER, Base, BuildRequest
from pipeline.backends.images.pushing import push_image
from pipeline.backends.images.runner_copy import copy_runner, runner_sha256
from pipeline.bases.base_images import base_of, find_base, reference_of
from pipeline.bases.building import OURS, build_image, name_image, remove_unfinished
from pipeline.bases.bytecode import compile_packages
from pipeline.bases.chosen import chosen
from pipeline.bases.pulling import course_registry, image_id
from pipeline.embedded.contract import DockerImage
from pipeline.embedded.docker.engine import Engine, connect
from pipeline.embedded.docker.images import Registry
from pipeline.environments import put
from pipeline.errors import CourseError
from pipeline.files import write_json
from pipeline.rendering import dockerfile, environment_reference, with_labels
from pipeline.run import Image
from pipeline.settings import DEFAULT_BASE, Course
from pipeline.source import remove_folder

ENVIRONMENT_DOCKERFILE = f'FROM scratch\nLABEL {OURS}="environment"\nCOPY --chown=0:0 packages {ENVIRONMENT}\n'
RUNTIME = f"{OURS}/runtime"


class DockerImages:
    """Builds and pushes with the engine that answers here. `cache` keeps the runner, compiled for each base."""

    def __init__(self, course: Course, cache: Path) -> None:
        self.course = course
        self.cache = cache
        self.registry: Registry | None = course_registry(course.servers)
        self._bases: dict[str, Base] = {}

    @cached_property
    def engine(self) -> Engine:
        return connect()

    def base(self, name: str) -> Base:
        """What the base provides, as it says itself. Raises CourseError where the engine has none of that name."""
        if name not in self._bases:
            self._bases[name] = self._find_base(name)
        return self._bases[name]

    def _find_base(self, name: str) -> Base:
        recipe = self.course.base(name)
        if recipe is not None and recipe.image is not None:
            return chosen(self.engine, recipe, self.cache, self.registry)
        found = find_base(self.engine, reference_of(name, recipe))
        if found is None:
            command = f"pipeline base build {name}{' --course FILE' if recipe else ''}"
            raise CourseError(f"the docker engine has no base {name!r}", hint=f"`{command}` makes it")
        return base_of(name, found.id, found.id, found.label.inside)

    def build(self, request: BuildRequest) -> Image:
        """Builds what is missing, names it, and describes it in `image_file`; the same again after a kill."""
        cached = self._provide_environment(request)
        runner = self._runner(request.base)
        folders = {"runner": runner, "code": request.source}
        text = with_labels(request.dockerfile, request.labels)
        built = build_image(self.engine, text, folders, log=request.build_log)
        name_image(self.engine, built.id, request.reference)
        manifest = DockerImage(reference=request.reference, id=built.id)
        write_json(request.image_file, manifest.model_dump(mode="json"))
        remove_unfinished(self.engine)
        return Image(
            reference=request.reference,
            digest=built.id,
            id=built.id,
            base=request.base.name,
            base_digest=request.base.digest,
            lock_sha256=request.lock_sha256,
            size_bytes=self.engine.client.images.get(built.id).attrs["Size"],
            cached=cached,
            notes=request.base.notes,
        )

    def push(self, image: Image, image_file: Path, /) -> Image:
        """Puts the image into the course's registry, if it has one; the digest goes into the image's file too."""
        if self.registry is None:
            return image
        digest = push_image(self.engine, image.reference, image.id, self.registry)
        manifest = DockerImage(reference=image.reference, id=image.id, digest=digest)
        write_json(image_file, manifest.model_dump(mode="json"))
        return image.model_copy(update={"digest": digest})

    def runtime(self, reference: str) -> DockerImage:
        """The image of a managed kind: base and runner, and no code, which comes at /init."""
        base = self.base(DEFAULT_BASE)
        with tempfile.TemporaryDirectory(prefix="no-code-") as no_code:
            folders = {"runner": self._runner(base), "code": Path(no_code)}
            text = dockerfile(base, "", has_environment=False)
            built = build_image(self.engine, text, folders)
        name_image(self.engine, built.id, f"{RUNTIME}:{built.id.removeprefix('sha256:')[:32]}")
        return DockerImage(reference=reference, id=built.id)

    def _provide_environment(self, request: BuildRequest) -> bool:
        """Whether the lock's image was there already, or none is needed; it has its name once it is whole."""
        if request.environment is None:
            return True
        reference = environment_reference(request.lock_sha256, request.base)
        if image_id(self.engine, reference):
            return True
        built = build_image(self.engine, ENVIRONMENT_DOCKERFILE, {"packages": request.environment})
        name_image(self.engine, built.id, reference)
        return False

    def _runner(self, base: Base) -> Path:
        """A folder that holds the package `runner`, compiled by the base's Python."""
        folder = self.cache / "runners" / runner_sha256(base.digest)
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
            try:
                copy_runner(partial)
                compile_packages(self.engine, base.image, partial, RUNNER)
                put(partial, folder)
            finally:
                remove_folder(partial)
        return folder
