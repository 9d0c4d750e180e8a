"""The sandbox's command line and its filter of system calls, as text and as a program."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.embedded.contract import ProcessImage, Service
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError
from pipeline.embedded.sandbox.launch import Mount, Plan, bubblewrapped, limits, reduced
from pipeline.embedded.sandbox.planning import Given, plan
from pipeline.embedded.sandbox.system_calls import filter_of_calls

PLAN = Plan(
    program=("/usr/bin/python3", "-m", "runner"),
    mounts=(Mount(Path("/odd; rm -rf $HOME"), Path("/code")),),
    variables={"NAME": "a b"},
    memory_mb=256,
    tasks=100,
    started=7,
    relays={9000: Path("/services/store")},
)
READ, PTRACE, CLONE, SOCKET = 0, 1, 2, 3
NUMBERS = {"x86_64": (0, 101, 56, 41), "aarch64": (63, 117, 220, 198)}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED, KILLED, REFUSED = 0x7FFF0000, 0x80000000, 0x00050000


def answer(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """Runs the filter as the kernel would."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, argument, 0, 0, 0, 0, 0)
    at = held = 0
    while True:
        code, then, otherwise, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
        else:
            met = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += then if met else otherwise


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_what_it_lists_and_nothing_else(machine: str) -> None:
    program, architecture, numbers = filter_of_calls(machine), ARCHITECTURES[machine], NUMBERS[machine]
    assert answer(program, architecture, numbers[READ]) == ALLOWED
    assert answer(program, architecture, numbers[PTRACE]) == REFUSED | errno.EPERM
    assert answer(program, architecture, 435) == REFUSED | errno.ENOSYS
    assert answer(program, architecture, 425) == REFUSED | errno.EPERM
    assert answer(program, 0x40000003, numbers[READ]) == KILLED


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_lets_threads_pass_and_no_new_namespaces(machine: str) -> None:
    program, architecture, clone = filter_of_calls(machine), ARCHITECTURES[machine], NUMBERS[machine][CLONE]
    threads, new_user, new_net = 0x3D0F00, 0x10000000, 0x40000000
    assert answer(program, architecture, clone, threads) == ALLOWED
    assert answer(program, architecture, clone, 17) == ALLOWED
    assert answer(program, architecture, clone, threads | new_user) == REFUSED | errno.EPERM
    assert answer(program, architecture, clone, new_net) == REFUSED | errno.EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_lets_only_sockets_of_the_namespace_pass(machine: str) -> None:
    program, architecture, number = filter_of_calls(machine), ARCHITECTURES[machine], NUMBERS[machine][SOCKET]
    passing = [family for family in range(50) if answer(program, architecture, number, family) == ALLOWED]
    assert passing == [1, 2, 10, 16]


def test_there_is_no_filter_for_a_machine_whose_numbers_are_unknown() -> None:
    assert filter_of_calls("riscv64") == b""


def test_as_root_the_user_is_dropped_before_bubblewrap_starts() -> None:
    command = bubblewrapped(replace(PLAN, user=200_001, stage=Path("/tmp/stage")))
    assert command[:5] == ["unshare", "--mount", "--propagation", "private", "sh"]
    script = command[-1]
    assert script.index("mount --bind") < script.index("setpriv --reuid 200001") < script.index("bwrap")
    assert "'/odd; rm -rf $HOME'" in script


def test_not_as_root_nothing_needs_a_shell() -> None:
    command = bubblewrapped(PLAN)
    assert command[0] == "prlimit"
    assert "/odd; rm -rf $HOME" in command
    assert command[command.index("--setenv") : command.index("--setenv") + 3] == ["--setenv", "NAME", "a b"]


def test_nothing_but_tmp_and_shared_memory_can_be_written() -> None:
    command = bubblewrapped(PLAN)
    tmpfs = [command[at + 1] for at, word in enumerate(command) if word == "--tmpfs"]
    sizes = [command[at + 1] for at, word in enumerate(command) if word == "--size"]
    assert tmpfs == ["/tmp", "/dev/shm"]
    assert sizes == [str(128 * 2**20)] * 2
    assert not {"--bind", "--dev-bind", "--bind-try"} & set(command)
    readonly = [command[at + 1] for at, word in enumerate(command) if word == "--remount-ro"]
    assert readonly == ["/dev", "/"]


def test_memory_is_limited_by_process_where_no_control_group_does_it() -> None:
    assert limits(PLAN)["data"] > 256 * 2**20
    assert "data" not in limits(replace(PLAN, cgroup_files=(Path("/sys/fs/cgroup/x"),)))


def test_without_namespaces_processes_are_counted_only_for_a_user_of_its_own() -> None:
    assert '"nproc"' not in reduced(PLAN)[4]
    assert '"nproc": 100' in reduced(replace(PLAN, user=200_001))[4]


def planned(tmp_path: Path, **changes: Path | None) -> Plan:
    for name in ("python", "base", "environment", "code", "runner", "store"):
        (tmp_path / name).mkdir(exist_ok=True)
    folders = {name: tmp_path / name for name in ("base", "environment", "code", "runner")} | changes
    image = ProcessImage(reference="i", digest="d", python=Path("/usr/bin/python3"), **folders)  # type: ignore[arg-type]
    services = (Service(name="store", socket=tmp_path / "store", port=9000),)
    given = Given(listener=5, started=6, calls=None, user=None, stage=None, cgroup=None)
    spec = ContainerSpec("c", "guest", "a", "1", 256, image="i", variables={"__OW_API_HOST": "http://h"})
    return plan(spec, image, services, given, tasks=64, apart=True)


def test_a_program_sees_the_runner_first_and_the_environment_last(tmp_path: Path) -> None:
    made = planned(tmp_path)
    assert made.variables["PYTHONPATH"] == "/opt/runner:/base:/environment"
    assert made.program[-3:] == ("/opt/runner", "/base", "/environment")
    assert made.variables["RUNNER_SOCKETS"] == '{"127.0.0.1:9000": "/services/store"}'
    assert made.variables["__OW_API_HOST"] == "http://h"
    assert made.relays == {9000: Path("/services/store")}


def test_an_image_needs_no_environment(tmp_path: Path) -> None:
    assert planned(tmp_path, environment=None).variables["PYTHONPATH"] == "/opt/runner:/base"


def test_a_folder_that_is_gone_is_not_the_student_s_fault(tmp_path: Path) -> None:
    with pytest.raises(NoContainerError, match="is not there: gone for /base"):
        planned(tmp_path, base=tmp_path / "gone")
