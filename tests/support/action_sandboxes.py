"""What actions run in under test: the process sandbox or docker, with this checkout's runner or the recorded action."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from pipeline.embedded.contract import CODE_IMAGE, DockerImage, ProcessImage
from support.openwhisk import TESTS, Sandbox
from support.recordings import FOLDER

SANDBOXES = ("process", "docker")
PROBE = "probe:1"
"""The reference by which the recordings call their image."""
CODE_DOCKERFILE = """
ARG BASE
FROM ${BASE}
COPY runner /action/runner
ENV PYTHONPATH=/action RUNNER_CODE=/action
CMD ["python3", "-u", "-m", "runner"]
"""


@contextmanager
def probes(name: str, request: pytest.FixtureRequest) -> Iterator[Sandbox | None]:
    """The same with the recorded action as every image, code actions' too; no sandbox where they are plain."""
    if name == "plain":
        yield None
        return
    engine, base = request.getfixturevalue("engine"), request.getfixturevalue("debian_python")
    with built(engine, base, FOLDER / "probe") as probe:
        yield Sandbox(name, dict.fromkeys((PROBE, CODE_IMAGE), probe.model_dump(mode="json")))


@contextmanager
def sandbox_of(name: str, request: pytest.FixtureRequest) -> Iterator[Sandbox | None]:
    """A sandbox by its name; none where actions are to be plain processes. Skips where there is no engine."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        shutil.copytree(TESTS.parent / "runner", folder / "runner", ignore=shutil.ignore_patterns("__pycache__"))
        if name == "process":
            yield Sandbox(name, {CODE_IMAGE: process_image(folder).model_dump(mode="json")})
        elif name == "docker":
            engine, base = request.getfixturevalue("engine"), request.getfixturevalue("debian_python")
            (folder / "Dockerfile").write_text(CODE_DOCKERFILE)
            with built(engine, base, folder) as code:
                yield Sandbox(name, {CODE_IMAGE: code.model_dump(mode="json")})
        else:
            yield None
    finally:
        shutil.rmtree(folder)


def process_image(folder: Path) -> ProcessImage:
    (folder / "image").mkdir()
    (folder / "code").mkdir()
    (folder / "runner").rename(folder / "image" / "runner")
    return ProcessImage(
        reference=CODE_IMAGE,
        digest="none",
        python=Path(sys.executable).resolve(),
        base=Path(sysconfig.get_path("purelib")),
        environment=None,
        code=folder / "code",
        runner=folder / "image",
    )


@contextmanager
def built(engine: docker.DockerClient, base: str, context: Path) -> Iterator[DockerImage]:
    """An image of a name of its own, which goes with the block."""
    tag = f"ml-tests-action:{uuid.uuid4().hex[:16]}"
    image, _ = engine.images.build(path=str(context), tag=tag, buildargs={"BASE": base}, rm=True, forcerm=True)
    try:
        yield DockerImage(reference=tag, id=str(image.id))
    finally:
        engine.images.remove(tag)
