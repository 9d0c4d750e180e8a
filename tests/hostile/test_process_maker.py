"""When the sandbox itself fails: whose fault it is, and that nothing is left, even of a killed supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from frame.processes import Processes
from support.sandboxes import Sandbox, in_sandbox

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.openwhisk.containers import NoContainerError, NoImageError
from pipeline.embedded.sandbox import launch
from pipeline.embedded.sandbox.leftovers import remove_leftovers
from pipeline.embedded.sandbox.probe import STAGE, probe
from pipeline.settings import Isolation

pytestmark = pytest.mark.skipif(
    probe().isolation is not Isolation.NAMESPACES, reason="bubblewrap does not work here, so there are no namespaces"
)

SUPERVISES = """
import asyncio, sys
from support.sandboxes import Sandbox
from pathlib import Path
async def main():
    made = Sandbox(Path(sys.argv[1]))
    container = await made.initialised("import os\\ndef main(params):\\n    os.fork()\\n    while True: pass\\n")
    print(next(iter(made.users), 0), container.process.pid, flush=True)
    await container.request("/run", b'{"value":{}}', timeout_s=600, reply_limit=10)
asyncio.run(main())
"""


def test_an_image_that_is_not_there_is_the_developer_s_fault() -> None:
    async def steps(sandbox: Sandbox) -> None:
        sandbox.maker.image_file = lambda reference: sandbox.folder / "none.json"
        with pytest.raises(NoImageError, match="python:3"):
            await sandbox.create()

    in_sandbox(steps)


def test_a_folder_that_was_removed_is_nobody_s_fault() -> None:
    async def steps(sandbox: Sandbox) -> None:
        shutil.rmtree(sandbox.folder / "base")
        with pytest.raises(NoContainerError, match="/base"):
            await sandbox.create()

    in_sandbox(steps)


def test_a_service_that_has_ended_is_nobody_s_fault() -> None:
    async def steps(sandbox: Sandbox) -> None:
        gone = Service(name="store", socket=sandbox.folder / "gone", port=9000)
        await sandbox.maker.set_reach(Reach(namespace="guest", action="action", services=(gone,)))
        with pytest.raises(NoContainerError, match="/services/store"):
            await sandbox.create()

    in_sandbox(steps)


def test_a_sandbox_that_cannot_be_made_is_nobody_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "CONFIGURATION", ())
    monkeypatch.setattr(launch, "SYSTEM", ("/usr", "/not-there"))

    async def steps(sandbox: Sandbox) -> None:
        with pytest.raises(NoContainerError, match="not-there"):
            await sandbox.create()

    in_sandbox(steps)


def test_an_interpreter_that_does_not_start_is_nobody_s_fault() -> None:
    async def steps(sandbox: Sandbox) -> None:
        broken = sandbox.folder / "environment" / "python"
        broken.write_text("not a program")
        broken.chmod(0o755)
        sandbox.image = sandbox.image.model_copy(update={"python": broken})
        with pytest.raises(NoContainerError, match="could not be made"):
            await sandbox.create()

    in_sandbox(steps)


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.02, 0.05])
def test_who_is_no_longer_wanted_while_it_is_made_leaves_nothing(after_s: float) -> None:
    async def steps(sandbox: Sandbox) -> None:
        making = asyncio.create_task(sandbox.create())
        await asyncio.sleep(after_s)
        sandbox.users |= sandbox.maker.users
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making

    in_sandbox(steps)


def test_a_container_is_stopped_twice_and_while_it_starts_without_harm() -> None:
    async def steps(sandbox: Sandbox) -> None:
        container = await sandbox.create()
        await asyncio.gather(container.stop(), container.stop())
        await container.stop()
        assert await container.exited() is not None
        assert sandbox.maker.containers == {}
        assert sandbox.maker.users == set()

    in_sandbox(steps)


def test_what_runs_ends_with_its_supervisor_however_that_ends(processes: Processes) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sbx-", dir="/tmp"))
    folder.chmod(0o755)
    tests = str(Path(__file__).parents[1])
    try:
        supervisor = processes.start(
            [sys.executable, "-c", SUPERVISES, str(folder)],
            stdout=-1,
            env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{Path(tests).parent}"},
        )
        assert supervisor.stdout is not None
        user, outermost = map(int, supervisor.stdout.readline().split())
        tree = [psutil.Process(outermost), *psutil.Process(outermost).children(recursive=True)]
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        _, left = psutil.wait_procs(tree, timeout=30)
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
        assert user == 0 or not [one for one in psutil.process_iter(["uids"]) if one.info["uids"].real == user]
        remove_leftovers()
        assert list(Path("/tmp").glob(f"{STAGE}{supervisor.pid}-*")) == []
        assert list(Path("/sys/fs/cgroup").glob(f"*/ml-submission-pipeline/{supervisor.pid}-*")) == []
    finally:
        shutil.rmtree(folder)
