"""Student code that takes more than its share, in either sandbox: the limit it met, and nothing left of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from support.both_sandboxes import InEither
from support.sandboxes import LOGS_BYTES, CodeActions, Ran

Runs = Callable[..., Ran]

FORK_BOMB = """
import os, time
def main(params):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
"""
THREAD_BOMB = """
import threading, time
def main(params):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(600,)).start()
        except RuntimeError:
            time.sleep(0.01)
"""
MEMORY_HOG = """
def main(params):
    kept = []
    while True:
        kept.append(bytearray(10 * 2**20))
"""
CHILD_HOG = """
import os
def main(params):
    child = os.fork()
    if child == 0:
        kept = []
        while True:
            kept.append(bytearray(10 * 2**20))
    os.waitpid(child, 0)
    return {"score": 100}
"""
SIX_CHILDREN = """
import os, time
def main(params):
    for _ in range(6):
        if os.fork() == 0:
            kept = bytearray(40 * 2**20)
            time.sleep(600)
    time.sleep(600)
"""
SHARED_BY_FORK = """
import os, time
def main(params):
    kept = bytearray(60 * 2**20)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            time.sleep(1.5)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return {"ok": True}
"""
FILLS_TMP = """
import errno
def main(params):
    written = 0
    try:
        with open("/tmp/full", "wb") as file:
            while True:
                written += file.write(bytes(2**20))
                file.flush()
    except OSError as error:
        return {"errno": errno.errorcode[error.errno], "written_mb": written // 2**20}
"""
FILLS_BOTH = """
def main(params):
    for name in ("/tmp/full", "/dev/shm/full"):
        try:
            with open(name, "wb") as file:
                while True:
                    file.write(bytes(2**20))
                    file.flush()
        except OSError:
            pass
    import time; time.sleep(600)
"""
ENDLESS_OUTPUT = """
import os
def main(params):
    line = b"\\x1b[31mA\\x00" * 8000 + b"\\n"
    while True:
        os.write(1, line)
        os.write(2, line)
"""
DEAF = """
import signal, time
def main(params):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(600)
"""
DAEMON = """
import os, time
def main(params):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/usr/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    time.sleep(0.2)
    return {"ok": True}
"""
SETS_ASIDE = """
def main(params):
    import time
    kept = bytearray(40 * 2**20)
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    return {}
"""


def assert_killed_for(found: Ran, limit: str) -> None:
    assert found.ended is not None, found
    assert (found.result, found.ended.killed_for, found.usage.killed_for) == (None, limit, limit)


def test_a_fork_bomb_meets_the_limit_of_processes(ran: Runs) -> None:
    assert_killed_for(ran(FORK_BOMB, memory_mb=512), "processes")


@pytest.mark.skipif(os.geteuid() != 0, reason="threads are counted by control groups, which need root")
def test_a_thread_bomb_does_too(ran: Runs) -> None:
    assert_killed_for(ran(THREAD_BOMB, memory_mb=512), "processes")


def test_memory_beyond_the_limit_ends_the_container(ran: Runs) -> None:
    found = ran(MEMORY_HOG)
    assert_killed_for(found, "memory")
    assert found.usage.peak_memory_mb > 60


def test_a_child_that_is_killed_for_memory_is_not_hidden_by_a_parent_that_answers(ran: Runs) -> None:
    found = ran(CHILD_HOG)
    assert found.usage.killed_for == "memory", found


def test_the_memory_of_all_children_counts_together(ran: Runs) -> None:
    assert_killed_for(ran(SIX_CHILDREN), "memory")


def test_memory_that_children_share_with_their_parent_counts_once(ran: Runs) -> None:
    found = ran(SHARED_BY_FORK)
    assert found.result == {"ok": True}, found
    assert 60 < found.usage.peak_memory_mb < 128
    assert found.usage.processes >= 5


def test_tmp_is_small_and_not_the_host_s_disk(ran: Runs) -> None:
    before = shutil.disk_usage("/tmp").free
    found = ran(FILLS_TMP)
    assert found.result["errno"] == "ENOSPC"
    assert found.result["written_mb"] <= 64
    assert found.usage.peak_memory_mb > 60
    assert shutil.disk_usage("/tmp").free > before - 32 * 2**20


def test_files_in_tmp_and_shared_memory_count_as_memory(ran: Runs) -> None:
    assert_killed_for(ran(FILLS_BOTH), "memory")


def test_endless_output_is_cut_and_costs_no_memory(ran: Runs) -> None:
    found = ran(ENDLESS_OUTPUT, timeout_s=2.0)
    assert found.late
    assert sum(map(len, found.logs)) < 3 * LOGS_BYTES
    assert "bytes were dropped" in found.logs[-1]


def test_who_ignores_signals_is_ended_all_the_same(ran: Runs) -> None:
    assert ran(DEAF, timeout_s=1.0).late


def test_a_daemon_is_ended_with_its_container(ran: Runs) -> None:
    assert ran(DAEMON).result == {"ok": True}


def test_an_activation_is_charged_what_it_used_and_no_more(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.initialised(SETS_ASIDE)
        await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=1000)
        first = await container.usage()
        container.begin("second", LOGS_BYTES)
        second = await container.usage()
        assert first.activation == "activation"
        assert first.cpu_s >= 0.5
        assert first.peak_memory_mb > 40
        assert second.activation == "second"
        assert second.cpu_s < first.cpu_s
        assert second.peak_memory_mb < first.peak_memory_mb

    in_either(steps)
