"""Images of a small base, in either sandbox: one package from a folder of wheels, no network and no torch."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from pipeline.backends.images import Images
from pipeline.backends.images.docker import DockerImages
from pipeline.backends.images.process import ProcessImages
from pipeline.bases.base_images import reference_of
from pipeline.bases.builder import Builder
from pipeline.embedded.contract import DockerImage, ProcessImage, read_manifest
from pipeline.embedded.docker.engine import connect
from pipeline.package_tool import PackageTool
from pipeline.practice import MNIST_TRAIN
from pipeline.run import Run
from pipeline.settings import BaseRecipe, Course, Isolation, Servers
from support.stages import new_run, submission, walk
from support.wheels import make_wheel

STAGES = ("fetch", "check", "render", "build")


@dataclass
class Building:
    """A course with a base of its own, and who builds its images. `engine` is None in the process sandbox."""

    folder: Path
    course: Course
    images: Images
    engine: docker.DockerClient | None = None
    count: int = 0
    walked: list[str] = field(default_factory=list)

    def prepared(self, *, student: str = "student", **files: str) -> Run:
        """A run of a submission with these files, up to its image's rendering."""
        self.count += 1
        source = submission(self.folder / f"source-{self.count}", **files)
        run = new_run(self.folder / f"run-{self.count}", source, course=self.course, student=student)
        run.update(isolation=Isolation.CONTAINER, run=f"{run.record.run}-{self.count}")
        walk(run, *STAGES[:3], images=self.images)
        return run

    def built(self, **files: str) -> Run:
        run = self.prepared(**files)
        walk(run, "build", images=self.images)
        return run

    def says(self, manifest: ProcessImage | DockerImage, code: str) -> Any:
        """What a program prints as JSON that runs as the image's actions do."""
        if isinstance(manifest, DockerImage):
            assert self.engine is not None
            printed = self.engine.containers.run(
                manifest.id, ["-c", code], entrypoint="python3", network_mode="none", remove=True
            )
            return json.loads(printed)
        folders = [manifest.runner, manifest.base, *([manifest.environment] if manifest.environment else [])]
        variables = {"PYTHONPATH": ":".join(map(str, folders)), "PYTHONSAFEPATH": "1", "PATH": os.defpath}
        variables["RUNNER_CODE"] = str(manifest.code)
        command = [str(manifest.python), "-S", "-c", code]
        return json.loads(subprocess.run(command, env=variables, capture_output=True, check=True).stdout)


def manifest_of(run: Run) -> ProcessImage | DockerImage:
    return read_manifest(run.image_file.read_bytes())


def small_course(folder: Path, begin_with: str, servers: Servers | None = None) -> Course:
    """A course whose base has `tiny`, and whose wheels are `alpha`, and `evil` with a `tiny` of its own.

    No other session makes the same base: each removes its own.
    """
    wheels, name = folder / "wheels", f"t{uuid.uuid4().hex[:12]}"
    version = f"1.{int(name[1:], 16)}"
    make_wheel(wheels, "tiny", version, files={"tiny.py": "WHO = 'base'\n"})
    make_wheel(wheels, "alpha", "1.0", requires=["tiny"], files={"alpha.py": "import tiny\nWHO = 'environment'\n"})
    make_wheel(wheels, "evil", "1.0", files={"tiny.py": "WHO = 'evil'\n", "evil.pth": "import os; os.abort()\n"})
    assignment = MNIST_TRAIN.model_copy(update={"least_isolation": Isolation.NONE})
    recipe = BaseRecipe(name="default", from_image=begin_with, packages=(f"tiny=={version}",))
    return Course(
        name=name,
        assignments=(assignment,),
        bases=(recipe,),
        servers=servers or Servers(),
        wheels=wheels,
        cache=folder / "cache",
    )


def in_processes(folder: Path) -> Building:
    course = small_course(folder, "none")
    assert course.cache is not None
    return Building(folder, course, ProcessImages(course.cache, course))


@contextmanager
def on_docker(
    folder: Path, engine: docker.DockerClient, begin_with: str, servers: Servers | None = None
) -> Iterator[Building]:
    """The base is built before; all images of the course are removed after."""
    course = small_course(folder, begin_with, servers)
    recipe = course.bases[0]
    assert course.cache is not None
    tool = PackageTool.with_wheels(course.wheels, course.cache)
    reference = reference_of(recipe.name, recipe)
    base = Builder(connect(), tool, course.cache, None, lambda _: None).build(recipe, reference)
    try:
        yield Building(folder, course, DockerImages(course, course.cache), engine)
    finally:
        remove(engine, base.id)


def remove(engine: docker.DockerClient, base: str) -> None:
    """All names of a base, of what was built on it and of its environments, and then what has none."""
    layers = engine.images.get(base).attrs["RootFS"]["Layers"]
    mark = base.removeprefix("sha256:")[:16]
    for image in engine.images.list(filters={"label": "ml-pipeline"}):
        on_it = image.attrs["RootFS"]["Layers"][: len(layers)] == layers
        for name in image.tags:
            if on_it or name.endswith(f"-{mark}"):
                engine.images.remove(name)
    for image in engine.images.list(filters={"label": "ml-pipeline", "dangling": True}):
        if image.attrs["RootFS"]["Layers"][: len(layers)] == layers:
            engine.images.remove(image.id)
