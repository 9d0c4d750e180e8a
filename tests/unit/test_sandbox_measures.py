"""What is measured of a process tree, and by which control group."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.embedded.sandbox import cgroups, leftovers, probe, tree, tree_psutil
from pipeline.embedded.sandbox.cgroups import Cgroup
from pipeline.embedded.sandbox.watch import Bounds, Watch
from pipeline.settings import Isolation

PARENT_AND_CHILDREN = """
import os, sys, time
kept = bytearray(40 * 2**20)
for _ in range(3):
    if os.fork() == 0:
        break
print("ready", flush=True)
time.sleep(600)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A process of 40 MB and three children that share these with it."""
    environment = {"PATH": "/usr/bin", tree.MARKER: f"family-{os.getpid()}"}
    command = [sys.executable, "-I", "-S", "-c", PARENT_AND_CHILDREN]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        yield process
        tree.kill(tree.descendants(process.pid))
        process.wait()


@linux
def test_shared_memory_counts_once_where_it_matters(family: subprocess.Popen[str]) -> None:
    members = tree.descendants(family.pid)
    assert len(members) == 4
    assert tree.resident_mb(members) > 150
    assert 40 < tree.shares_mb(members) < 80


@linux
def test_a_watch_without_control_groups_does_not_kill_for_what_is_shared(family: subprocess.Popen[str]) -> None:
    roomy = Watch("family", family.pid, Bounds(100, 4), None, apart=False)
    assert roomy.look(closely=True) == ""
    assert 40 < roomy.peak_memory_mb < 80
    assert roomy.peak_processes == 4
    assert Watch("family", family.pid, Bounds(30, 4), None, apart=False).look() == "memory"
    assert Watch("family", family.pid, Bounds(100, 3), None, apart=False).look() == "processes"


@linux
def test_processes_are_found_by_their_mark(family: subprocess.Popen[str]) -> None:
    assert tree.marked(f"family-{os.getpid()}") == tree.descendants(family.pid)


def test_other_systems_see_the_same_tree(family: subprocess.Popen[str]) -> None:
    found = tree_psutil.descendants(family.pid)
    assert len(found) == 4
    kept = bytearray(os.urandom(1) * 50 * 2**20)
    assert tree_psutil.unique_mb({os.getpid()}) > len(kept) / 2**20
    assert tree_psutil.descendants(2**22 + 1) == set()


@linux
def test_a_view_of_files_that_is_still_the_host_s_is_not_counted() -> None:
    assert tree.tmpfs_mb(os.getpid(), room_mb=1) == 0


def test_a_group_of_version_2_is_read(tmp_path: Path) -> None:
    for name, text in {
        "memory.stat": "anon 10485760\nfile 99999999\nshmem 2097152\n",
        "memory.events": "low 0\nmax 3\noom_kill 0\n",
        "pids.events": "max 0\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "cgroup.procs": "12\n13\n",
    }.items():
        (tmp_path / name).write_text(text)
    group = Cgroup(tmp_path, tmp_path, tmp_path)
    assert (group.memory_mb(), group.cpu_s(), group.members()) == (12, 2.5, [12, 13])
    assert group.killed_for() == ""
    assert group.files == (tmp_path / "cgroup.procs",)
    group.limit(256, 100)
    assert (tmp_path / "memory.max").read_text() == str((256 + cgroups.SLACK_MB) * 2**20)
    group.kill()
    assert (tmp_path / "cgroup.kill").read_text() == "1"
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    assert group.killed_for() == "memory"
    watch = Watch("grown", os.getpid(), Bounds(256, 100), group, apart=False)
    watch.look()
    assert watch.memory_mb == 12
    assert watch.usage("a").peak_memory_mb == 256


def test_groups_and_folders_of_a_dead_supervisor_are_removed_and_of_a_living_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(leftovers, "STAGES", tmp_path)
    for controller in cgroups.CONTROLLERS:
        for owner in (ended.pid, os.getpid()):
            (tmp_path / controller / cgroups.PARENT / f"{owner}-c").mkdir(parents=True)
        (tmp_path / controller / "cgroup.procs").touch()
    for owner in (ended.pid, os.getpid()):
        (tmp_path / f"{probe.STAGE}{owner}-x").mkdir()
    leftovers.remove_leftovers()
    left = {path.name for path in tmp_path.glob(f"*/{cgroups.PARENT}/*")}
    assert left == ({f"{os.getpid()}-c"} if sys.platform == "linux" else left)
    assert (tmp_path / f"{probe.STAGE}{os.getpid()}-x").exists()
    if sys.platform == "linux":
        assert not (tmp_path / f"{probe.STAGE}{ended.pid}-x").exists()


@linux
def test_a_bubblewrap_that_is_there_and_does_not_work_is_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "missing", lambda: "")
    # not tmp_path, which a dropped user cannot pass
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        broken = Path(folder, "bwrap")
        broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        level = probe.probe.__wrapped__()
    assert level.isolation is Isolation.REDUCED
    assert "network" in level.unenforced
    assert "No permissions" in level.reasons[0], level


def test_without_bubblewrap_the_reason_is_its_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    level = probe.probe.__wrapped__()
    assert level.isolation is Isolation.REDUCED
    assert level.reasons[0].startswith(("not installed: bwrap", "namespaces are Linux's"))
    assert set(level.enforced).isdisjoint(level.unenforced)


def test_the_probe_answers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe.probe()
    monkeypatch.setattr(probe, "missing", lambda: "asked again")
    assert probe.probe() is first
