"""Student code that looks beyond its container of docker: what it finds there is nothing."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from support.both_sandboxes import DockerSandbox, InEither

from pipeline.embedded.openwhisk.containers import Container, NoReplyError, NoReplyInTimeError

SAYS_WHO_IT_IS = """
import os
def main(params):
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
    names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    limits = open("/proc/self/limits").read().splitlines()
    return {name: status[name].split() for name in names} | {
        "limits": {line[:26].strip(): line[26:47].strip() for line in limits},
        "first": open("/proc/1/cmdline").read().split("\\0")[0],
    }
"""
WRITES = """
import os
def main(params):
    taken = []
    for folder, _, _ in os.walk("/"):
        if folder.startswith(("/proc/", "/sys/")):
            continue
        try:
            with open(os.path.join(folder, "kept"), "wb"):
                taken.append(folder)
        except OSError:
            pass
    try:
        os.chmod("/tmp/kept", 0o755)
        open("/tmp/kept", "w").write("#!/bin/sh\\nexit 0\\n")
        ran = os.spawnv(os.P_WAIT, "/tmp/kept", ["kept"])
    except OSError:
        ran = -1
    return {"taken": taken, "ran": ran}
"""
LOOKS = """
import glob, os
def main(params):
    text = repr(dict(os.environ))
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + ["/proc/self/mountinfo"]:
        try:
            text += repr(open(path, "rb").read())
        except OSError:
            pass
    there = [path for path in params["paths"] if os.path.exists(path)]
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {"names": sorted(os.environ), "text": text, "there": there, "processes": len(numbers)}
"""
CALLS = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "worked") if libc.syscall(number, *arguments) == -1 else "worked"
def main(params):
    found = {name: call(number, *arguments) for name, (number, *arguments) in params["calls"].items()}
    for family in (17, 38, 40):
        try:
            socket.socket(family, socket.SOCK_RAW).close()
            found[f"socket {family}"] = "worked"
        except OSError as error:
            found[f"socket {family}"] = errno.errorcode[error.errno]
    os.mkfifo("/tmp/fifo")
    return found
"""
FREEZES_INIT = """
import ctypes, os, signal, time
def main(params):
    libc = ctypes.CDLL(None, use_errno=True)
    attached = libc.ptrace(16, 1, None, None)
    os.kill(1, signal.SIGSTOP)
    print("attached", attached, flush=True)
    time.sleep(600)
"""
KILLS_ALL = """
import os, signal
def main(params):
    for process in (-1, os.getppid(), 1, os.getpid()):
        try:
            os.kill(process, signal.SIGKILL)
        except OSError:
            pass
"""


async def ask(container: Container, value: object = None) -> Any:
    body = json.dumps({"value": value or {}}).encode()
    reply = await container.request("/run", body, timeout_s=60, reply_limit=10**6)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_it_is_nobody_and_can_become_nobody_else(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        found = await ask(await made.initialised(SAYS_WHO_IT_IS))
        assert set(found["Uid"]) | set(found["Gid"]) == {"10001"}
        assert set(found["Groups"]) <= {"10001"}
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(found[name][0], 16) == 0, name
        assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
        limits = found["limits"]
        assert (limits["Max open files"], limits["Max core file size"]) == ("1024", "0")
        assert "init" in found["first"]

    in_docker(steps)


def test_only_tmp_and_shared_memory_can_be_written_and_nothing_there_runs(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        found = await ask(await made.initialised(WRITES))
        top = {"/".join(folder.split("/")[:3]) for folder in found["taken"]}
        assert {folder for folder in top if not folder.startswith("/tmp")} <= {"/dev/shm", "/dev/mqueue"}, found
        assert found["ran"] != 0

    in_docker(steps)


def test_nothing_of_the_host_and_no_secret_is_seen(in_docker: InEither, monkeypatch: pytest.MonkeyPatch) -> None:
    token = secrets.token_hex(16)
    monkeypatch.setenv("RCLONE_AUTH_KEY", token)

    async def steps(made: DockerSandbox) -> None:
        other = await made.initialised(LOOKS, "other")
        paths = [
            "/var/run/docker.sock",
            "/run/docker.sock",
            str(made.folder),
            str(Path(__file__)),
            "/environment/.lock",
        ]
        found = await ask(await made.initialised(LOOKS), {"paths": paths})
        assert found["there"] == []
        assert token not in found["text"]
        assert made.maker.owner.text not in found["text"]
        # init, the runner, and nothing of the host or of another container
        assert found["processes"] <= 3
        known = {"PATH", "HOME", "HOSTNAME", "LANG", "LC_CTYPE", "OMP_NUM_THREADS"}
        names = [name for name in found["names"] if name not in known]
        assert all(name.startswith(("PYTHON", "RUNNER_", "__OW_")) for name in names), names
        await other.stop()

    in_docker(steps)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86_64")
def test_calls_that_reach_into_other_programs_or_the_kernel_are_refused(in_docker: InEither) -> None:
    new_user, new_net = 0x10000000, 0x40000000
    calls = {
        "ptrace": [101, 0, 0, 0, 0],
        "process_vm_readv": [310, 1, 0, 0, 0, 0, 0],
        "unshare": [272, new_user],
        "clone": [56, new_user | new_net | 17, 0, 0, 0, 0],
        "mount": [165, 0, 0, 0, 0, 0],
        "bpf": [321, 0, 0, 0],
        "io_uring_setup": [425, 1, 0],
        "keyctl": [250, 0, 0],
        "userfaultfd": [323, 0],
        "perf_event_open": [298, 0, 0, 0, 0, 0],
        "setns": [308, 0, 0],
        "pidfd_getfd": [438, 0, 0, 0],
        "clone3": [435, 0, 0],
        "getpid": [39],
    }

    async def steps(made: DockerSandbox) -> None:
        found = await ask(await made.initialised(CALLS), {"calls": calls})
        assert found.pop("clone3") == "ENOSYS"
        assert found.pop("getpid") == "worked"
        assert set(found.values()) == {"EPERM"}, found

    in_docker(steps)


def test_who_tries_to_freeze_init_is_removed_all_the_same(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        container = await made.initialised(FREEZES_INIT)
        with pytest.raises(NoReplyInTimeError):
            await container.request("/run", b'{"value":{}}', timeout_s=1.5, reply_limit=1000)
        await container.stop()
        assert [line.text for line in await container.logs(10)] == ["attached -1"]

    in_docker(steps)


def test_who_kills_all_kills_only_itself(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        other = await made.initialised("def main(params):\n    return {'here': True}\n", "other")
        killer = await made.initialised(KILLS_ALL)
        with pytest.raises(NoReplyError):
            await killer.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        ended = await killer.exited(0.2)
        assert ended is not None
        assert ended.killed_for == ""
        assert await ask(other) == {"here": True}

    in_docker(steps)
