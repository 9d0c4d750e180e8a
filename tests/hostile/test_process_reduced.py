"""The process sandbox where there are no namespaces: a user of its own as root, limits, and no process left behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sandboxes import Sandbox, in_sandbox

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.openwhisk.containers import NoContainerError
from pipeline.embedded.sandbox import maker
from pipeline.embedded.sandbox.probe import SandboxLevel
from pipeline.embedded.sandbox.tree import marked
from pipeline.settings import Isolation

WHO = """
import os, resource
def main(params):
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    return {
        "uid": os.getuid(), "groups": os.getgroups(), "no_new_privileges": status["NoNewPrivs"].strip(),
        "capabilities": status["CapEff"].strip(), "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "names": sorted(os.environ),
    }
"""
DAEMONS = """
import os, time
def main(params):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execve("/usr/bin/sleep", ["sleep", "613"], {})
            os._exit(0)
    time.sleep(0.3)
    return {"ok": True}
"""
HOG = "def main(params):\n    kept = []\n    while True:\n        kept.append(bytearray(2**22))\n"
SPEAKS = """
import socket
def main(params):
    host, port = params["address"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as one:
        one.sendall(b"hello")
        return {"answer": one.recv(100).decode()}
"""


def public_python() -> Path | None:
    """An interpreter that any user can start."""
    for name in (sys.executable, "/usr/bin/python3"):
        path = Path(name).resolve()
        if path.exists() and (os.geteuid() != 0 or all(one.stat().st_mode & 1 for one in (path, *path.parents))):
            return path
    return None


PYTHON = public_python()
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what is looked at here is in /proc, which is Linux's"),
    pytest.mark.skipif(PYTHON is None, reason="no Python that every user may start"),
]


@pytest.fixture(autouse=True)
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(maker, "probe", lambda: SandboxLevel(Isolation.REDUCED, (), ("network",)))
    monkeypatch.setattr(maker, "make_cgroup", lambda *_: None)
    yield


def confined(sandbox: Sandbox) -> Sandbox:
    assert PYTHON is not None
    sandbox.image = sandbox.image.model_copy(update={"python": PYTHON})
    return sandbox


async def answer(sandbox: Sandbox, code: str, value: object = None) -> dict[str, object]:
    container = await confined(sandbox).initialised(code)
    body = json.dumps({"value": value or {}}).encode()
    reply = await container.request("/run", body, timeout_s=60, reply_limit=10**6)
    await container.stop()
    found: dict[str, object] = json.loads(reply.body)
    return found


def test_a_program_gives_up_what_it_must_not_keep() -> None:
    async def steps(sandbox: Sandbox) -> None:
        found = await answer(sandbox, WHO)
        assert found["no_new_privileges"] == "1"
        assert found["core"] == 0
        assert "PYTEST_CURRENT_TEST" not in str(found["names"])
        if os.geteuid() == 0:
            assert found["uid"] in sandbox.users
            assert found["groups"] == []
            assert int(str(found["capabilities"]), 16) == 0

    in_sandbox(steps)


def test_daemons_without_a_mark_are_ended_too() -> None:
    async def steps(sandbox: Sandbox) -> None:
        assert await answer(sandbox, DAEMONS) == {"ok": True}
        assert sleepers() == []

    in_sandbox(steps)


def test_daemons_end_with_a_program_that_ends_by_itself() -> None:
    async def steps(sandbox: Sandbox) -> None:
        code = DAEMONS.replace('return {"ok": True}', "os._exit(3)")
        container = await confined(sandbox).initialised(code)
        with pytest.raises(Exception, match="ended"):
            await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=100)
        ended = await container.exited(30)
        assert ended is not None
        assert (ended.code, ended.killed_for) == (3, "")
        assert sleepers() == []

    in_sandbox(steps)


def sleepers() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == b"sleep\x00613\x00":
                found.append(process.name)
        except OSError:
            continue
    return found


def test_memory_beyond_the_limit_ends_the_container() -> None:
    async def steps(sandbox: Sandbox) -> None:
        container = await confined(sandbox).initialised(HOG)
        with pytest.raises(Exception, match="ended"):
            await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=100)
        ended = await container.exited(30)
        assert ended is not None
        assert ended.killed_for == "memory"

    in_sandbox(steps)


def test_nothing_runs_on_after_its_supervisor_stops() -> None:
    async def steps(sandbox: Sandbox) -> None:
        container = await confined(sandbox).initialised("def main(params):\n    while True: pass\n")
        running = asyncio.create_task(container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=100))
        await asyncio.sleep(0.2)
        await sandbox.maker.close()
        await asyncio.gather(running, return_exceptions=True)
        assert marked(container.name) == set()

    in_sandbox(steps)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, who cannot open root's folders")
def test_code_in_a_private_folder_is_refused_rather_than_run_as_root() -> None:
    async def steps(sandbox: Sandbox) -> None:
        (confined(sandbox).folder / "code").chmod(0o700)
        with pytest.raises(NoContainerError, match="private"):
            await sandbox.create()

    in_sandbox(steps)


def test_a_service_is_reached_by_a_port_of_the_loopback() -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())

    async def steps(sandbox: Sandbox) -> None:
        path = sandbox.folder / "sockets" / "service"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            reach = Reach(namespace="guest", action="action", services=(Service(name="s", socket=path, port=9000),))
            addresses = await sandbox.maker.set_reach(reach)
            assert addresses["s"].startswith("127.0.0.1:")
            assert await answer(sandbox, SPEAKS, {"address": addresses["s"]}) == {"answer": "HELLO"}
        path.unlink()

    in_sandbox(steps)
