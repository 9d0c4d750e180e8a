"""When docker fails, or who uses it: whose fault it is, and that nothing is left, even of a killed supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from frame.processes import Processes
from support.both_sandboxes import DockerSandbox, InEither

from pipeline.embedded.contract import CODE_IMAGE, DockerImage, Reach
from pipeline.embedded.docker.engine import connect
from pipeline.embedded.docker.measures import Measures
from pipeline.embedded.docker.owner import OWNER
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError, NoImageError, NoReplyError
from pipeline.embedded.settings import write_private
from pipeline.errors import InfrastructureError

ROOT = Path(__file__).parents[2]
GONE_S = 60.0
SUPERVISES = """
import asyncio, sys
from pathlib import Path
import docker
from pipeline.embedded.contract import DockerImage, Reach
from support.both_sandboxes import DockerSandbox
async def main():
    image = DockerImage.model_validate_json(sys.argv[2])
    made = DockerSandbox(Path(sys.argv[1]), image, docker.from_env())
    await made.maker.set_reach(Reach(namespace="guest", action="action", services=()))
    await made.initialised("import os\\ndef main(params):\\n    os.fork()\\n    while True: pass\\n")
    making = asyncio.create_task(made.create("two"))
    made.maker.seats.hold("guest")
    print(made.maker.owner.text, made.maker.guardian.process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
ANSWERS = "def main(params):\n    return {'here': True}\n"
HOLDS = """
import time
def main(params):
    global kept
    kept = bytearray(40 * 2**20)
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    return {}
"""


@pytest.mark.usefixtures("docker_unchanged")
@pytest.mark.parametrize("also_the_guardian", [False, True])
def test_what_a_killed_supervisor_leaves_is_removed(
    processes: Processes, runner_image: DockerImage, engine: docker.DockerClient, also_the_guardian: bool
) -> None:
    """By its guardian; where that is killed too, by the next one that starts."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="dsbx-") as folder:
        tests = str(ROOT / "tests")
        supervisor = processes.start(
            [sys.executable, "-c", SUPERVISES, folder, runner_image.model_dump_json()],
            stdout=-1,
            env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{ROOT}"},
        )
        assert supervisor.stdout is not None
        owner, guardian = supervisor.stdout.readline().decode().split()
        mine = {"label": f"{OWNER}={owner}"}
        assert engine.containers.list(ignore_removed=True, filters=mine)
        if also_the_guardian:
            os.kill(int(guardian), signal.SIGKILL)
        os.killpg(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        if also_the_guardian:
            asyncio.run(start_and_end(Path(folder, "next"), runner_image, engine))
        deadline = time.monotonic() + GONE_S
        while engine.containers.list(all=True, ignore_removed=True, filters=mine) or engine.networks.list(filters=mine):
            assert time.monotonic() < deadline, "what a killed supervisor had is still there"
            time.sleep(0.2)


async def start_and_end(folder: Path, image: DockerImage, engine: docker.DockerClient) -> None:
    folder.mkdir()
    await asyncio.sleep(2)  # the engine may still be making what the killed one had asked for
    await DockerSandbox(folder, image, engine).nothing_left()


def test_a_tag_that_was_moved_is_not_run(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        reference = made.image.reference
        moved = made.image.model_copy(update={"id": "sha256:" + "0" * 64})
        write_private(made.state.image_file(reference), moved)
        spec = ContainerSpec("test-moved", "guest", "a", "0.0.1", 128, image=reference)
        with pytest.raises(NoImageError, match="another image now"):
            await made.maker.create(spec)
        write_private(made.state.image_file(reference), made.image)
        container = await made.maker.create(spec)
        assert (await container.usage()).image == made.image.id

    in_docker(steps)


def test_code_runs_in_no_image_but_ours(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        made.state.image_file(CODE_IMAGE).unlink()
        with pytest.raises(NoImageError, match=CODE_IMAGE):
            await made.create()

    in_docker(steps)


def test_an_engine_that_is_not_there_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(InfrastructureError, match="not running here") as caught:
        connect()
    assert "start it" in caught.value.hint


def test_an_image_whose_program_cannot_start_is_the_developer_s_fault(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        with changed(made, {"Cmd": ["/no/such/program"]}) as image:
            container = await made.maker.create(ContainerSpec("test-a", "guest", "a", "0.0.1", 128, image=image))
            with pytest.raises(NoReplyError):
                await container.request("/init", b"{}", timeout_s=600, reply_limit=10)
            assert await container.exited(0.2) is not None
            assert "/no/such/program" in " ".join(line.text for line in await container.logs(10))
            await container.stop()
        empty = f"ml-tests-empty:{uuid.uuid4().hex[:16]}"
        made.engine.api.import_image_from_data(bytes(10_240), *empty.split(":"))
        try:
            with pytest.raises(NoImageError, match="[Cc]ommand"):
                await made.maker.create(ContainerSpec("test-b", "guest", "a", "0.0.1", 128, image=empty))
        finally:
            made.engine.images.remove(empty)

    in_docker(steps)


def test_volumes_that_an_image_asks_for_are_not_the_host_s_disk(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        with changed(made, {"Volumes": {"/data": {}}}) as image:
            container = await made.maker.create(ContainerSpec("test-a", "guest", "a", "0.0.1", 128, image=image))
            mounts = made.engine.containers.get(container.id).attrs["Mounts"]
            assert [(one["Type"], one["Destination"]) for one in mounts] == [("tmpfs", "/data")]
            await container.stop()

    in_docker(steps)


@contextmanager
def changed(made: DockerSandbox, configuration: dict[str, object]) -> Iterator[str]:
    """The runner's image with another configuration."""
    container = made.engine.containers.create(made.image.id)
    repository, tag = made.image.reference.split(":")[0], uuid.uuid4().hex[:16]
    try:
        made.engine.api.commit(container.id, repository, tag, conf=configuration)
    finally:
        container.remove()
    try:
        yield f"{repository}:{tag}"
    finally:
        made.engine.images.remove(f"{repository}:{tag}")


def test_a_container_that_somebody_removes_has_ended(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        container = await made.initialised("import time\ndef main(params):\n    time.sleep(600)\n")
        asking = asyncio.create_task(container.request("/run", b'{"value":{}}', timeout_s=600, reply_limit=10))
        await asyncio.sleep(0.3)
        made.engine.containers.get(container.id).remove(force=True)
        with pytest.raises(NoReplyError):
            await asking
        assert await container.exited(0.2) is not None
        with pytest.raises(NoReplyError):
            await container.request("/run", b'{"value":{}}', timeout_s=600, reply_limit=10)
        await container.stop()

    in_docker(steps)


def test_a_container_is_really_paused_and_one_that_cannot_go_on_is_told(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        container = await made.initialised(ANSWERS)
        await container.pause()
        there = made.engine.containers.get(container.id)
        assert there.status == "paused"
        there.remove(force=True)
        with pytest.raises(NoContainerError, match="does not go on"):
            await container.resume()

    in_docker(steps)


def test_more_containers_than_a_network_has_addresses_are_refused_and_addresses_come_back(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        network = await made.maker.networks.of("guest")
        taken = [made.maker.seats.addresses.take(network) for _ in range(made.maker.most)]
        made.maker.seats.addresses.take(network)  # that of one on its way out
        with pytest.raises(NoContainerError, match="addresses"):
            await made.create()
        made.maker.seats.addresses.give_back(network, taken[0])
        container = await made.create()
        await container.stop()
        await (await made.create()).stop()

    in_docker(steps)


def test_containers_made_at_once_each_have_their_own(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        await made.maker.set_reach(Reach(namespace="guest", action="action", services=(), processes=8))
        made_ones = await asyncio.gather(*(made.initialised(ANSWERS, f"n{number}") for number in range(6)))
        replies = await asyncio.gather(
            *(one.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=100) for one in made_ones)
        )
        assert {reply.body for reply in replies} == {b'{"here": true}'}
        await asyncio.gather(*(one.stop() for one in made_ones))

    in_docker(steps)


def test_without_control_groups_to_read_the_engine_tells_what_was_used(
    in_docker: InEither, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(made: DockerSandbox) -> None:
        monkeypatch.setattr(made.maker.measures, "seen", False)
        container = await made.initialised(HOLDS)
        await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        deadline = time.monotonic() + 30
        while (used := await container.usage()).peak_memory_mb < 40 or used.cpu_s < 0.4:
            assert time.monotonic() < deadline, used
            await asyncio.sleep(0.2)
        assert isinstance(made.maker.measures, Measures)
        assert any("once a second" in one for one in made.maker.unenforced)

    in_docker(steps)
