"""Ways round the limits of the process sandbox that once worked."""

from __future__ import annotations

import asyncio
import os

import psutil
import pytest
from support.sandboxes import Sandbox, in_sandbox, ran

from pipeline.embedded.contract import Reach
from pipeline.embedded.openwhisk.containers import NoReplyError
from pipeline.embedded.openwhisk.logs import LEAST_BYTES, LogBuffer
from pipeline.embedded.sandbox.cgroups import Cgroup, can_make_groups
from pipeline.embedded.sandbox.container import ProcessContainer
from pipeline.embedded.sandbox.probe import probe
from pipeline.embedded.sandbox.system_calls import filter_of_calls
from pipeline.settings import Isolation

in_namespaces = pytest.mark.skipif(
    probe().isolation is not Isolation.NAMESPACES, reason="bubblewrap does not work here, so there are no namespaces"
)

ANSWERS_FOR_A_KILLED_CHILD = """
import os
def main(params):
    child = os.fork()
    if child == 0:
        kept = []
        while True:
            kept.append(bytearray(50 * 2**20))
    os.waitpid(child, 0)
    return {"score": 100}
"""
WRITES_EVERYWHERE = """
import os, stat
def main(params):
    taken = []
    for top in ("/dev", "/code", "/base", "/environment", "/opt", "/usr/local", "/etc", "/services", "/"):
        try:
            with open(os.path.join(top, "kept"), "wb"):
                taken.append(top)
        except OSError:
            pass
    with open("/tmp/here", "wb"), open("/dev/shm/here", "wb"), open("/dev/null", "wb") as null:
        null.write(b"1")
    return {"taken": taken}
"""
STARTS = """
import subprocess, time
def main(params):
    children = [subprocess.Popen(["/usr/bin/sleep", "20"]) for _ in range(COUNT)]
    time.sleep(1)
    for child in children:
        child.kill()
    return {"started": len(children)}
"""
HIDES_MEMORY = """
import ctypes, os
def main(params):
    libc = ctypes.CDLL(None, use_errno=True)
    found = {"shmget": libc.shmget(0, ctypes.c_size_t(2**20), 0o1600)}
    try:
        found["memfd"] = os.memfd_create("hidden")
    except OSError as error:
        found["memfd"] = -1
    return found
"""


@in_namespaces
def test_an_answer_does_not_hide_a_child_that_was_killed_for_memory() -> None:
    found = ran(ANSWERS_FOR_A_KILLED_CHILD)
    assert found.result is None, found
    assert found.ended is not None
    assert found.ended.killed_for == "memory"


@in_namespaces
def test_only_the_bounded_folders_are_writable() -> None:
    assert ran(WRITES_EVERYWHERE).result == {"taken": []}


@in_namespaces
@pytest.mark.skipif(not filter_of_calls(os.uname().machine), reason="there is no filter of calls for this machine")
def test_memory_that_no_process_shows_cannot_be_had() -> None:
    assert ran(HIDES_MEMORY).result == {"shmget": -1, "memfd": -1}


def test_newlines_alone_fill_the_log_too() -> None:
    """A record of each line is kept, so that lines of no length cost the server memory all the same."""
    buffer = LogBuffer()
    buffer.begin(100 * LEAST_BYTES)
    buffer.feed("stdout", b"\n" * 10_000)
    assert len(buffer._lines) <= 101


@in_namespaces
def test_the_assignment_s_limit_of_processes_is_the_container_s() -> None:
    async def steps(sandbox: Sandbox) -> None:
        reach = Reach(namespace="guest", action="action", services=(), processes=4)
        await sandbox.maker.set_reach(reach)
        few = await sandbox.run(STARTS.replace("COUNT", "2"), name="few")
        many = await sandbox.run(STARTS.replace("COUNT", "8"), name="many")
        assert few.result == {"started": 2}
        assert many.ended is not None
        assert many.ended.killed_for == "processes"

    in_sandbox(steps)


@in_namespaces
def test_who_gives_up_at_any_moment_of_the_start_leaves_nothing() -> None:
    """A child of bubblewrap's that was not bound to it yet lived on, unseen, and held the streams open for ever."""

    async def steps(sandbox: Sandbox) -> None:
        for number in range(80):
            making = asyncio.create_task(sandbox.create(f"given-up-{number}"))
            await asyncio.sleep(number / 80 * 0.03)
            making.cancel()
            async with asyncio.timeout(60):
                (made,) = await asyncio.gather(making, return_exceptions=True)
            if isinstance(made, ProcessContainer):
                await made.stop()
        sandboxed = [one for one in psutil.process_iter(["cmdline"]) if "test-given-up-" in str(one.info["cmdline"])]
        assert sandboxed == []

    in_sandbox(steps)


@in_namespaces
@pytest.mark.skipif(not can_make_groups(), reason="control groups need root and a kernel that has them")
def test_a_control_group_that_is_still_busy_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that had ended by itself was forgotten at once, and its group stayed behind where that took longer."""
    remove, refusals = Cgroup.remove, iter(range(45))
    monkeypatch.setattr(Cgroup, "remove", lambda group: next(refusals, None) is None and remove(group))

    async def steps(sandbox: Sandbox) -> None:
        container = await sandbox.initialised("import os\ndef main(params):\n    os._exit(3)\n")
        with pytest.raises(NoReplyError):
            await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=100)
        assert await container.exited(60) is not None
        await asyncio.sleep(0.2)  # it is being removed now, when the maker is closed

    in_sandbox(steps)
