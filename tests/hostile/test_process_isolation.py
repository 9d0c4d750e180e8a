"""Student code that looks beyond its sandbox: what it finds there is nothing."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
from pathlib import Path

import pytest
from support.sandboxes import LOGS_BYTES, Sandbox, in_sandbox, ran

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.openwhisk.containers import NoReplyError
from pipeline.embedded.sandbox.probe import probe
from pipeline.settings import Isolation

pytestmark = pytest.mark.skipif(
    probe().isolation is not Isolation.NAMESPACES, reason="bubblewrap does not work here, so there are no namespaces"
)

# nothing is sent anywhere unless the namespace is empty
SCANS = """
import errno, socket
def main(params):
    names = [name for _, name in socket.if_nameindex()]
    found = {"interfaces": names, "errors": []}
    if names == ["lo"]:
        for host, port in params["addresses"]:
            with socket.socket() as one:
                one.settimeout(2)
                found["errors"].append(errno.errorcode.get(one.connect_ex((host, port)), "connected"))
    families = {}
    for family in (40, 17, 38, 31):
        try:
            socket.socket(family, socket.SOCK_STREAM).close()
            families[family] = "made"
        except OSError as error:
            families[family] = errno.errorcode[error.errno]
    return found | {"families": sorted(set(families.values()))}
"""
LOOKS = """
import os
def main(params):
    found = {"readable": [], "writable": []}
    for path in params["paths"]:
        try:
            with open(path, "rb") as file:
                file.read(1)
            found["readable"].append(path)
        except OSError:
            pass
        found["readable"] += [path] if os.path.exists(path) and path not in found["readable"] else []
    for folder in ("/", "/usr", "/code", "/base", "/environment", "/opt/runner/runner", "/etc", "/dev", "/opt"):
        try:
            with open(folder + "/mine", "wb"):
                found["writable"].append(folder)
        except OSError:
            pass
    numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    uids = [open(f"/proc/{number}/status").read().split("Uid:")[1].split()[0] for number in numbers]
    return found | {"users": sorted(set(uids)), "uid": os.getuid(), "groups": os.getgroups()}
"""
SECRETS = """
import glob, os
def main(params):
    seen = dict(os.environ)
    text = repr(seen)
    for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
        try:
            text += repr(open(path, "rb").read())
        except OSError:
            pass
    return {"names": sorted(seen), "text": text}
"""
CALLS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "worked") if libc.syscall(number, *arguments) == -1 else "worked"
def main(params):
    return {name: call(number, *arguments) for name, (number, *arguments) in params["calls"].items()}
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
OBEYS = "def main(params):\n    return {'here': True}\n"
SPEAKS = """
import socket
def main(params):
    with socket.create_connection(("127.0.0.1", params["port"]), timeout=10) as one:
        one.sendall(b"hello " * 50_000)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        while data := one.recv(65536):
            answer += data
    return {"answer": answer.decode()}
"""


async def run_with(sandbox: Sandbox, code: str, value: object, name: str = "one") -> dict[str, object]:
    container = await sandbox.initialised(code, name)
    body = json.dumps({"value": value}).encode()
    reply = await container.request("/run", body, timeout_s=60, reply_limit=10**6)
    await container.stop()
    answer: dict[str, object] = json.loads(reply.body)
    assert reply.status == 200, answer
    return answer


def test_no_network_is_there_to_scan() -> None:
    async def steps(sandbox: Sandbox) -> None:
        with socket.create_server(("127.0.0.1", 0)) as ours:
            addresses = [["127.0.0.1", ours.getsockname()[1]], ["169.254.169.254", 80], ["192.0.2.1", 80]]
            found = await run_with(sandbox, SCANS, {"addresses": addresses})
        assert found["interfaces"] == ["lo"]
        assert found["errors"] == ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH"]
        assert found["families"] == ["EAFNOSUPPORT"]

    in_sandbox(steps)


def test_the_host_s_files_are_not_there_and_its_own_cannot_be_changed(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "keys").write_text("secret")

    async def steps(sandbox: Sandbox) -> None:
        other = await sandbox.create("other")
        paths = [
            *(
                "/etc/shadow",
                "/etc/passwd",
                str(Path.home() / ".bashrc"),
                "/home",
                "/var",
                "/run",
                "/sys",
                "/proc/1/root/etc/passwd",
            ),
            *(str(private / "keys"), str(other.socket), str(sandbox.folder), f"/proc/{os.getpid()}/environ"),
        ]
        assert Path("/etc/shadow").exists()
        found = await run_with(sandbox, LOOKS, {"paths": paths})
        assert found["readable"] == []
        assert found["writable"] == []
        assert found["users"] == [str(found["uid"])]
        assert found["uid"] != 0
        await other.stop()

    in_sandbox(steps)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_two_containers_are_two_users() -> None:
    async def steps(sandbox: Sandbox) -> None:
        one, other = await sandbox.create("a"), await sandbox.create("b")
        users = {Path("/proc", str(container.process.pid)).stat().st_uid for container in (one, other)}
        assert len(users) == 2
        assert 0 not in users

    in_sandbox(steps)


def test_no_variable_of_ours_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    token = secrets.token_hex(16)
    monkeypatch.setenv("RCLONE_AUTH_KEY", token)

    async def steps(sandbox: Sandbox) -> None:
        found = await run_with(sandbox, SECRETS, {})
        assert token not in str(found["text"])
        known = {"PATH", "HOME", "LANG", "USER", "LOGNAME", "PWD"}
        names = found["names"]
        assert isinstance(names, list)
        assert all(name in known or name.startswith(("PYTHON", "RUNNER_", "OMP_", "__OW_")) for name in names), names

    in_sandbox(steps)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86_64")
def test_calls_that_reach_into_other_programs_or_the_kernel_are_refused() -> None:
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
        "x32 getpid": [0x40000000 | 39],
        "clone3": [435, 0, 0],
        "getpid": [39],
    }

    async def steps(sandbox: Sandbox) -> None:
        found = await run_with(sandbox, CALLS, {"calls": calls})
        assert {found.pop("x32 getpid"), found.pop("clone3")} == {"ENOSYS"}
        assert found.pop("getpid") == "worked"
        assert set(found.values()) == {"EPERM"}, found

    in_sandbox(steps)


def test_who_kills_all_kills_only_itself() -> None:
    async def steps(sandbox: Sandbox) -> None:
        other = await sandbox.initialised(OBEYS, "other")
        killer = await sandbox.initialised(KILLS_ALL)
        with pytest.raises(NoReplyError):
            await killer.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        ended = await killer.exited(30)
        assert ended is not None
        assert ended.killed_for == ""
        reply = await other.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        assert json.loads(reply.body) == {"here": True}

    in_sandbox(steps)


def test_modules_of_a_wheel_do_not_replace_ours() -> None:
    async def steps(sandbox: Sandbox) -> None:
        for name in ("runner", "json", "typing", "sitecustomize", "usercustomize"):
            (sandbox.folder / "environment" / f"{name}.py").write_text("raise SystemExit('replaced')\n")
        (sandbox.folder / "environment" / "evil.pth").write_text("import os; os._exit(9)\n")
        (sandbox.folder / "code" / "runner.py").write_text("raise SystemExit('replaced')\n")
        assert (await run_with(sandbox, OBEYS, {})) == {"here": True}

    in_sandbox(steps)


def echo_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        received = 0
        while data := connection.recv(65536):
            received += len(data)
        connection.sendall(f"{received} bytes".encode())


def test_an_action_reaches_its_services_by_tcp_and_no_other_action_does() -> None:
    async def steps(sandbox: Sandbox) -> None:
        path = sandbox.folder / "sockets" / "service"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            threading.Thread(target=echo_once, args=(listener,), daemon=True).start()
            reach = Reach(namespace="guest", action="action", services=(Service(name="s", socket=path, port=9000),))
            assert await sandbox.maker.set_reach(reach) == {"s": "127.0.0.1:9000"}
            assert await run_with(sandbox, SPEAKS, {"port": 9000}) == {"answer": "300000 bytes"}
            stranger = await sandbox.initialised(SPEAKS, "stranger", action="another")
            reply = await stranger.request("/run", b'{"value":{"port":9000}}', timeout_s=60, reply_limit=10**5)
            assert "ConnectionRefusedError" in reply.body.decode() + str(await stranger.logs(5))
        path.unlink()

    in_sandbox(steps)


def test_it_is_ended_by_no_terminal_s_signal_and_sees_no_terminal() -> None:
    code = "import os\ndef main(params):\n    return {'session': os.getsid(0) != 0, 'tty': os.path.exists('/dev/tty')"
    code += " and os.access('/dev/tty', os.R_OK) and open_tty()}\n"
    code += "def open_tty():\n    try:\n        open('/dev/tty').close()\n        return True\n"
    code += "    except OSError:\n        return False\n"
    assert ran(code).result["tty"] is False


def test_output_before_the_first_activation_and_after_is_nobody_s() -> None:
    async def steps(sandbox: Sandbox) -> None:
        container = await sandbox.initialised("print('at import')\ndef main(params):\n    return {}\n")
        await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        first = await container.logs(10)
        container.begin("second", LOGS_BYTES)
        await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        second = await asyncio.wait_for(container.logs(10), 30)
        assert [line.text for line in first] == ["at import"]
        assert second == ()

    in_sandbox(steps)
