"""The main job in containers: a real engine, a registry that asks for credentials, a real MinIO; whatever is killed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import docker
import psutil
import pytest
from support.docker import forget_image, unchanged
from support.minio_server import MinioServer
from support.pushed_runs import pushed_run
from support.real_servers import course_file
from support.registry_server import RegistryServer
from support.runs import EXAMPLES, TWICE, Finished, pipeline, submit, unhurried
from support.whole_runs import begun, checkpoints, family, kill, left_of, supervisor_of, wait_for

from pipeline.settings import Sandbox

SOURCE = EXAMPLES / "mnist_train"
WHO = """
import subprocess
print("id -u:", subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout.strip())
"""
ON_DOCKER = ("--sandbox", "docker")


@dataclass(frozen=True)
class World:
    """`course` is the tests' course with actions of 256 MB, on these servers."""

    course: Path
    engine: docker.DockerClient
    registry: RegistryServer
    minio: MinioServer

    def submit(self, source: Path, out: Path, *options: str) -> Finished:
        return submit(source, out, *ON_DOCKER, *options, course=self.course)

    @contextmanager
    def training(self, folder: Path, *arguments: str | Path) -> Iterator[Popen[str]]:
        """A run that has a new checkpoint, begun here unless other arguments are given."""
        known = set(checkpoints(self.minio))
        arguments = arguments or (
            "run",
            unhurried(folder.parent),
            "--course",
            self.course,
            *ON_DOCKER,
            *TWICE,
            "--out",
            folder,
        )
        with begun(*arguments, folder=folder) as coordinator:
            wait_for(lambda: coordinator.poll() is not None or set(checkpoints(self.minio)) - known, "a checkpoint")
            assert coordinator.poll() is None, coordinator.communicate()
            yield coordinator


@pytest.fixture(scope="module")
def world(
    engine: docker.DockerClient,
    default_base: str,
    registry: RegistryServer,
    minio: MinioServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    assert default_base
    course = course_file(tmp_path_factory.mktemp("course"), registry, minio)
    course.write_text(course.read_text().replace("_mb = 512", "_mb = 256").replace("at_most = 512", "at_most = 256"))
    return World(course, engine, registry, minio)


@pytest.fixture
def out(world: World, tmp_path: Path) -> Iterator[Path]:
    """The folder of a run, of which nothing is left on the engine."""
    with unchanged(world.engine):
        yield tmp_path / "run"
    forget_image(world.engine, tmp_path / "run")


def submission(folder: Path, addition: str) -> Path:
    """The main job with more code in front of its model."""
    copy = folder / "submission"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    model = copy / "model.py"
    model.write_text(addition + model.read_text())
    return copy


@pytest.fixture(scope="module")
def contained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("contained")
    with unchanged(world.engine):
        done = world.submit(submission(folder, WHO), folder / "run")
    yield done
    forget_image(world.engine, folder / "run")


def test_the_main_job_passes_in_containers_of_256_mb(contained: Finished) -> None:
    assert contained.code == 0, contained.output
    result = contained.result
    assert (result["outcome"], result["isolation"]) == ("passed", "container")
    assert [stage["status"] for stage in result["stages"]] == ["done"] * 9
    for worker in result["workers"]:
        assert worker["steps"] > 0
        assert 20 < worker["peak_memory_mb"] <= 256 and "peak_memory_mb" in worker["measured"]
    assert "id -u: 10001" in (contained.folder / "logs" / "worker-0.log").read_text()


def test_what_ran_is_what_was_pushed(contained: Finished, world: World) -> None:
    image, record = contained.result["image"], json.loads((contained.folder / "record.json").read_text())
    repository, _, tag = image["reference"].removeprefix(f"{world.registry.address}/").rpartition(":")
    manifest = world.registry.get(f"{repository}/manifests/{tag}")
    assert manifest.headers["Docker-Content-Digest"] == image["digest"]
    assert manifest.json()["config"]["digest"] == record["image"]["id"]
    assert image["base_digest"].startswith("sha256:") and image["base_digest"] in contained.report
    ada = {"ada", "student"}
    labels = world.engine.images.get(image["reference"]).labels
    assert not ada & {word for value in labels.values() for word in value.lower().split()}
    assert world.registry.password not in (contained.folder / "record.json").read_text() + contained.output


def test_a_changed_line_sends_code_and_installs_nothing(contained: Finished, world: World, out: Path) -> None:
    assert contained.code == 0
    before = stored(world.registry)
    pushed_run(out, submission(out.parent, WHO + "\nCHANGED = 1\n"), world.course, Sandbox.DOCKER)
    assert 0 < stored(world.registry) - before < 10**6
    assert "the base has everything" in (out / "logs" / "build.log").read_text()


def stored(registry: RegistryServer) -> int:
    """Bytes that the registry keeps."""
    return sum(path.stat().st_size for path in registry.auth_file.parent.rglob("data") if path.is_file())


@pytest.mark.slow
def test_a_stopped_run_frees_everything_and_killed_with_all_its_servers_goes_on(world: World, out: Path) -> None:
    with unchanged(world.engine), world.training(out) as coordinator:
        coordinator.send_signal(signal.SIGINT)
        output, _ = coordinator.communicate(timeout=120)
    assert coordinator.returncode == 130, output
    assert json.loads((out / "result.json").read_text())["outcome"] == "aborted"
    assert left_of(out) == []

    # also the guardian that would have cleaned up: the next start does it
    with world.training(out, "resume", out) as coordinator:
        kill([*family(coordinator.pid), *family(supervisor_of(out))])
    done = pipeline("resume", out, out=out)

    assert done.code == 0, done.output
    assert left_of(out) == []


def test_what_a_killed_run_left_goes_without_anybody_coming_back(world: World, out: Path) -> None:
    """By the guardian: `out` fails where containers, networks or rules are still there after a while."""
    with world.training(out) as coordinator:
        # the servers descend from who started them, and their guardian with them
        everybody = [*family(coordinator.pid), *family(supervisor_of(out))]
        guardian = [one for one in everybody if "leftovers" in " ".join(one.cmdline())]
        assert guardian
        kill([one for one in everybody if one not in guardian])
    # it looks again for some seconds: the engine may still be making what was asked for
    assert psutil.wait_procs(guardian, timeout=60)[1] == []
