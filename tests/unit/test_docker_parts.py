"""Parts of the docker sandbox that need no engine: groups, measurements, output, references, the filter of calls."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from pipeline.embedded.docker import groups, seccomp
from pipeline.embedded.docker.engine import unreachable
from pipeline.embedded.docker.images import Registry, registry_of
from pipeline.embedded.docker.measures import ToldWatch
from pipeline.embedded.docker.output import HEADER, Output
from pipeline.embedded.openwhisk.logs import LogBuffer
from pipeline.embedded.sandbox.watch import Bounds
from pipeline.errors import CourseError

CONTAINER = "c" * 64


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


@pytest.mark.parametrize("name", [f"docker/{CONTAINER}", f"system.slice/docker-{CONTAINER}.scope"])
def test_groups_of_version_1_are_found_by_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(groups, "ROOT", tmp_path)
    folders(tmp_path, *(f"{controller}/{name}" for controller in ("memory", "pids", "cpuacct", "blkio")))
    found = groups.group_of(CONTAINER)
    assert found is not None
    assert (found.memory, found.io) == (tmp_path / "memory" / name, tmp_path / "blkio" / name)
    (tmp_path / "blkio" / name / "blkio.throttle.io_service_bytes").write_text(
        "8:0 Read 4096\n8:0 Write 100\n8:16 Read 4\n8:0 Total 4196\nTotal 4200\n"
    )
    assert found.io_bytes() == (4100, 100)


def test_a_group_of_version_2_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "ROOT", tmp_path)
    place = tmp_path / f"system.slice/docker-{CONTAINER}.scope"
    folders(tmp_path, str(place))
    assert groups.group_of(CONTAINER) is None
    for name in ("memory.stat", "pids.max"):
        (place / name).touch()
    found = groups.group_of(CONTAINER)
    assert found is not None
    assert found.unified
    (place / "io.stat").write_text("8:0 rbytes=4096 wbytes=100 rios=1 wios=1\n8:16 rbytes=4 wbytes=0\n")
    assert found.io_bytes() == (4100, 100)


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("probe:1", ""),
        ("course/probe:1", ""),
        ("localhost/probe:1", "localhost"),
        ("127.0.0.1:5000/course/probe:1", "127.0.0.1:5000"),
        ("registry.example.org/probe@sha256:" + "0" * 64, "registry.example.org"),
    ],
)
def test_a_host_has_a_dot_or_a_port(reference: str, host: str) -> None:
    assert registry_of(reference) == host


def test_a_registry_s_key_is_read_from_its_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("course:secret:with:colons\n")
    assert Registry("host:1", key).credentials() == {"username": "course", "password": "secret:with:colons"}
    assert Registry("host:1", None).credentials() is None
    key.write_text("no key\n")
    with pytest.raises(CourseError, match="user:password"):
        Registry("host:1", key).credentials()
    with pytest.raises(CourseError, match="cannot be read"):
        Registry("host:1", tmp_path / "none").credentials()


def test_the_filter_lists_what_passes_and_leaves_out_what_reaches_into_others() -> None:
    calls = set(seccomp.ALLOWED.split())
    assert {"read", "futex", "execve", "mknodat", "rseq"} <= calls
    reaching = "ptrace process_vm_readv io_uring_setup bpf mount unshare setns keyctl clone clone3 socket pidfd_getfd"
    assert not calls & set(reaching.split())
    assert seccomp.profile("aarch64")["defaultAction"] == "SCMP_ACT_ERRNO"
    assert seccomp.option("riscv64") == ""


def test_what_the_engine_tells_is_measured_without_the_cache() -> None:
    watch = ToldWatch(CONTAINER, 0, Bounds(128, 64, 1), None, apart=True)
    told: dict[str, Any] = {
        "memory_stats": {"usage": 90 * 2**20, "stats": {"rss": 30 * 2**20, "shmem": 2**20}},
        "pids_stats": {"current": 4},
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "Write", "value": 7}]},
    }
    watch.take(told)
    watch.look()
    used = watch.usage("activation")
    assert (used.peak_memory_mb, used.processes, used.cpu_s) == (31, 3, 1.5)
    assert (used.block_read, used.block_written) == (5, 7)
    watch.take({})  # a container that has ended
    assert watch.usage("activation").cpu_s == 1.5


def test_two_streams_come_apart_however_they_are_cut() -> None:
    async def main() -> list[tuple[str, str]]:
        ours, engine = socket.socketpair()
        engine.setblocking(False)
        buffer = LogBuffer()
        buffer.begin(10_000)
        output = Output(*await asyncio.open_unix_connection(sock=ours), buffer)
        loop = asyncio.get_running_loop()
        sent = frame(1, b"to std") + frame(2, b"an error\n") + frame(1, b"out\nlast")
        for at in range(0, len(sent), 5):
            await loop.sock_sendall(engine, sent[at : at + 5])
        engine.close()
        lines = await buffer.take(30)
        await output.ended(30)
        return [(line.stream, line.text) for line in lines]

    assert asyncio.run(main()) == [("stderr", "an error"), ("stdout", "to stdout"), ("stdout", "last")]


def frame(stream: int, text: bytes) -> bytes:
    return HEADER.pack(stream, len(text)) + text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", "may not use its socket"),
        ("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))", "not running here"),
        ("something else", "something else"),
    ],
)
def test_why_an_engine_does_not_answer_is_said_with_what_to_do(said: str, reason: str) -> None:
    why, hint = unreachable(docker.errors.DockerException(said))
    assert reason in why
    assert "--sandbox process" in hint
