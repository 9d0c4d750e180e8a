"""Images of docker: what a layer costs, what a kill leaves, what labels say, and bases of every kind."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from support.image_builds import Building, manifest_of, on_docker
from support.stages import walk

from pipeline.backends.images import docker as docker_images
from pipeline.backends.images.docker import DockerImages
from pipeline.bases.base_images import base_images
from pipeline.bases.inside import inside
from pipeline.bases.pulling import import_rootfs, provide
from pipeline.embedded.docker.engine import connect
from pipeline.errors import CourseError
from pipeline.run import Run

MB = 2**20


@pytest.fixture(scope="module")
def building(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, debian_python: str
) -> Iterator[Building]:
    with on_docker(tmp_path_factory.mktemp("images"), engine, debian_python) as made:
        yield made


def layers(engine: docker.DockerClient, run: Run) -> list[dict[str, Any]]:
    """What an image is made of, the newest first."""
    found: list[dict[str, Any]] = engine.api.history(manifest_of(run).reference)
    return found


def test_another_line_of_code_is_one_small_layer(building: Building, engine: docker.DockerClient) -> None:
    first = building.built(requirements__txt="alpha\n")
    changed = building.built(requirements__txt="alpha\n", model__py="def build_model():\n    return 2\n")
    before = {one["Id"] for one in layers(engine, first)}
    # the older layers of an image have no id of their own
    new = [one for one in layers(engine, changed) if one["Id"] not in before]
    assert [("COPY" in one["CreatedBy"], "LABEL" in one["CreatedBy"]) for one in new] == [(False, True), (True, False)]
    assert sum(one["Size"] for one in new) < MB
    assert changed.record.image is not None and changed.record.image.cached


def test_an_image_says_which_submission_it_is_and_not_whose(building: Building, engine: docker.DockerClient) -> None:
    run = building.built(student="Ada Lovelace")
    image = engine.images.get(manifest_of(run).reference)
    assert run.record.fetched is not None
    assert image.labels["ml-pipeline.run"] == run.record.run
    assert image.labels["ml-pipeline.tree"] == run.record.fetched.tree_sha256
    assert image.labels["ml-pipeline.assignment"] == "mnist-train"
    everything = json.dumps([image.attrs, layers(engine, run)])
    assert "Ada" not in everything and "Lovelace" not in everything
    assert str(building.folder) not in everything, "no path of this machine either"
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert "Step 1/" in run.build_log.read_text()


def test_files_of_an_image_cannot_be_written_by_who_runs_there(building: Building, engine: docker.DockerClient) -> None:
    run = building.built(requirements__txt="alpha\n")
    code = """
import json, os
places = ["/code", "/code/model.py", "/opt/runner/runner", "/environment", "/environment/alpha.py"]
print(json.dumps([os.access(place, os.W_OK) for place in places] + [os.getuid()]))
"""
    assert building.says(manifest_of(run), code) == [False] * 5 + [10001]


@pytest.mark.parametrize("at", [1, 2])
def test_a_build_that_was_killed_leaves_nothing_that_is_used(
    building: Building, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Killed before the environment's image has its name, and before the submission's has."""
    run = building.prepared(requirements__txt=f"alpha\n{'tiny' * (at - 1)}\n")
    name, calls = docker_images.name_image, []

    def killed(engine: Any, image: str, reference: str) -> None:
        calls.append(reference)
        if len(calls) == at:
            raise KeyboardInterrupt
        name(engine, image, reference)

    for one in engine.images.list("ml-pipeline/environments"):
        mark = manifest_mark(building)
        if any(tag.endswith(mark) for tag in one.tags):
            engine.images.remove(one.tags[0])
    monkeypatch.setattr(docker_images, "name_image", killed)
    with pytest.raises(KeyboardInterrupt):
        walk(run, "build", images=building.images)
    assert not engine.images.list(calls[-1]), "what is not whole has no name"
    assert not run.image_file.exists()
    monkeypatch.undo()

    walk(run, "build", images=building.images)

    assert building.says(manifest_of(run), "import json, alpha; print(json.dumps(alpha.WHO))") == "environment"


def manifest_mark(building: Building) -> str:
    return "-" + building.images.base("default").digest.removeprefix("sha256:")[:16]


def test_a_base_says_what_it_has(building: Building) -> None:
    base = building.images.base("default")
    assert base.python_version.startswith("3.")
    assert list(base.packages) == ["tiny"]
    assert "Name: tiny" in base.metadata["tiny"]
    assert base.image == base.digest
    assert base.image in {one.id for one in base_images(connect())}


def test_a_base_that_was_not_built_is_the_courses_fault_and_the_hint_builds_it(building: Building) -> None:
    other = building.course.bases[0].model_copy(update={"packages": ("alpha",)})
    course = building.course.model_copy(update={"bases": (other,)})
    with pytest.raises(CourseError) as caught:
        DockerImages(course, building.folder / "cache").base("default")
    assert "pipeline base build default --course FILE" in caught.value.hint


def test_an_image_that_nothing_can_be_built_on(
    building: Building, engine: docker.DockerClient, tmp_path: Path, debian_python: str
) -> None:
    ours = connect()
    dockerfile = io.BytesIO(f"FROM {debian_python}\nONBUILD RUN echo told\n".encode())
    engine.images.build(fileobj=dockerfile, tag=f"{building.course.name}:onbuild", rm=True)
    try:
        with pytest.raises(CourseError, match="ONBUILD"):
            inside(ours, f"{building.course.name}:onbuild", tmp_path)
    finally:
        engine.images.remove(f"{building.course.name}:onbuild")
    with pytest.raises(CourseError, match="cannot be pulled"):
        provide(ours, "nothing-of-this-name.invalid/at-all:1", None)


def test_a_root_file_system_without_python_is_told(engine: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "root" / "bin").mkdir(parents=True)
    (tmp_path / "root" / "bin" / "sh").write_text(f"{tmp_path}: not Python\n")
    ours = connect()
    made = import_rootfs(ours, tmp_path / "root")
    try:
        assert import_rootfs(ours, tmp_path / "root") == made, "the same files are imported once"
        with pytest.raises(CourseError, match="has no python3"):
            inside(ours, made, tmp_path)
    finally:
        for name in engine.images.get(made).tags:
            engine.images.remove(name)


@pytest.mark.usefixtures("engine")
def test_a_root_file_system_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_text("no tar")
    with pytest.raises(CourseError, match=r"root\.tar is no root file system"):
        import_rootfs(connect(), tmp_path / "root.tar")
    with pytest.raises(CourseError, match="cannot be read"):
        import_rootfs(connect(), tmp_path / "nowhere.tar")


def test_a_base_of_a_root_file_system(engine: docker.DockerClient, tmp_path: Path, debian_python: str) -> None:
    """What Debian's mmdebstrap makes, as a tar."""
    container = engine.containers.create(debian_python, "true")
    try:
        with (tmp_path / "root.tar").open("wb") as file:
            for chunk in container.export():
                file.write(chunk)
    finally:
        container.remove()
    ours = connect()
    made = import_rootfs(ours, tmp_path / "root.tar")
    try:
        assert inside(ours, made, tmp_path).python_version.startswith("3.")
    finally:
        for name in engine.images.get(made).tags:
            engine.images.remove(name)
