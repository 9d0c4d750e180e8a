"""Images and a real registry that asks for credentials: pushed once, known by digest, refused in plain words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from support.image_builds import Building, manifest_of, on_docker
from support.registry_server import RegistryServer
from support.stages import walk

from pipeline.backends.images import pushing
from pipeline.backends.images.docker import DockerImages
from pipeline.bases.chosen import chosen
from pipeline.bases.pulling import course_registry
from pipeline.embedded.contract import DockerImage
from pipeline.embedded.docker.engine import connect
from pipeline.embedded.docker.images import Registry
from pipeline.errors import CourseError, InfrastructureError, PipelineError
from pipeline.run import Run
from pipeline.settings import BaseRecipe, Servers


@pytest.fixture(scope="module")
def building(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, debian_python: str, registry: RegistryServer
) -> Iterator[Building]:
    servers = Servers(registry=f"{registry.address}/students", registry_auth_file=registry.auth_file)
    with on_docker(tmp_path_factory.mktemp("images"), engine, debian_python, servers) as made:
        yield made


def pushed(building: Building, run: Run, **servers: Any) -> list[str]:
    """Pushes a run's image; what the log says."""
    course = building.course.model_copy(update={"servers": building.course.servers.model_copy(update=servers)})
    return walk(run, "push", images=DockerImages(course, building.folder / "cache"))


def test_what_the_registry_has_is_what_the_record_says(building: Building, registry: RegistryServer) -> None:
    run = building.built(requirements__txt="alpha\n")
    log = pushed(building, run)
    image, manifest = run.record.image, manifest_of(run)
    assert image is not None and isinstance(manifest, DockerImage)
    host, _, rest = image.reference.partition("/")
    name, _, tag = rest.rpartition(":")
    assert (host, name) == (registry.address, f"students/{building.course.name}/mnist-train")
    assert image.reference == image.reference.lower() and tag == run.record.run
    there = registry.get(f"{name}/manifests/{tag}")
    assert image.digest == f"sha256:{hashlib.sha256(there.content).hexdigest()}"
    assert there.json()["config"]["digest"] == image.id
    assert (manifest.id, manifest.digest) == (image.id, image.digest)
    assert json.loads(run.actions_file.read_text())[0]["image"] == image.reference
    assert any(image.digest in line for line in log)


def test_what_is_there_is_not_pushed_again(building: Building, monkeypatch: pytest.MonkeyPatch) -> None:
    run = building.built()
    pushed(building, run)
    assert run.record.image is not None
    digest = run.record.image.digest
    run.update(image=run.record.image.model_copy(update={"digest": run.record.image.id}))

    def push(*_: Any, **__: Any) -> Any:
        raise AssertionError("pushed again")

    monkeypatch.setattr(docker.APIClient, "push", push)
    pushed(building, run)
    assert run.record.image.digest == digest


@pytest.mark.parametrize("text", ["pusher:another-word", "nobody:of-the-tests", None])
def test_a_wrong_key_is_the_courses_fault_and_shown_nowhere(
    building: Building, tmp_path: Path, text: str | None
) -> None:
    run = building.built()
    key = tmp_path / "key"
    key.write_text(text or "")
    with pytest.raises(CourseError) as caught:
        pushed(building, run, registry_auth_file=key if text else None)
    assert "refuses the user or the password" in caught.value.message
    assert "registry_auth_file" in caught.value.hint
    assert run.record.image is not None and run.record.image.digest == run.record.image.id
    pushed(building, run)
    assert run.record.image.digest != run.record.image.id, "with the right key it goes on"


def test_a_file_without_a_key_is_named(building: Building, tmp_path: Path) -> None:
    run = building.built()
    (tmp_path / "empty").write_text("only-a-user\n")
    for path in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(PipelineError, match=path.name):
            pushed(building, run, registry_auth_file=path)


def test_a_registry_that_is_down_is_infrastructure(building: Building, engine: docker.DockerClient) -> None:
    run = building.built()
    image = run.record.image
    assert image is not None and image.id
    reference = f"127.0.0.1:9/{building.course.name}:down"
    engine.api.tag(image.id, *reference.rsplit(":", 1))
    down = Registry("127.0.0.1:9", building.course.servers.registry_auth_file)
    with pytest.raises(InfrastructureError, match="does not answer") as caught:
        pushing.push_image(connect(), reference, image.id, down)
    assert "pipeline resume" in caught.value.hint


def test_the_key_is_in_no_file_of_the_run_and_in_no_image(
    building: Building, registry: RegistryServer, engine: docker.DockerClient
) -> None:
    run = building.built(requirements__txt="alpha\n")
    pushed(building, run)
    for path in run.folder.rglob("*"):
        assert not path.is_file() or registry.password.encode() not in path.read_bytes(), path
    reference = manifest_of(run).reference
    assert registry.password not in json.dumps([engine.images.get(reference).attrs, engine.api.history(reference)])


def test_a_base_by_digest_is_pulled_with_the_key_and_asked_what_it_has(
    building: Building, registry: RegistryServer, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """A course's own image with its own packages, which nobody here has built."""
    reference = f"{registry.address}/students/{building.course.name}/base:1"
    base = building.images.base("default")
    engine.api.tag(base.image, *reference.rsplit(":", 1))
    ours, key = connect(), course_registry(building.course.servers)
    assert key is not None
    digest = pushing.push_image(ours, reference, base.image, key)
    engine.images.remove(reference)
    recipe = BaseRecipe(name="own", image=f"{reference.rpartition(':')[0]}@{digest}")
    try:
        with pytest.raises(CourseError, match="cannot be pulled"):
            chosen(
                ours,
                recipe.model_copy(update={"image": f"{reference.rpartition(':')[0]}@sha256:{'0' * 64}"}),
                tmp_path,
                key,
            )
        found = chosen(ours, recipe, tmp_path, key)
        assert (found.image, found.digest) == (recipe.image, digest)
        assert found.packages == base.packages and found.site == base.site

        course = building.course.model_copy(update={"bases": (recipe.model_copy(update={"name": "default"}),)})
        own = replace(building, course=course, images=DockerImages(course, tmp_path), folder=tmp_path)
        run = own.built(requirements__txt="alpha\n")
        assert own.says(manifest_of(run), "import json, alpha; print(json.dumps(alpha.WHO))") == "environment"
        assert f"FROM {recipe.image}" in run.dockerfile.read_text()
        assert run.record.image is not None and run.record.image.base_digest == digest
        for tag in engine.images.get(manifest_of(run).reference).tags:
            engine.images.remove(tag)
        for image in engine.images.list("ml-pipeline/environments"):
            for tag in image.tags:
                if tag.endswith(digest[7:23]):
                    engine.images.remove(tag)
    finally:
        engine.images.remove(recipe.image)
