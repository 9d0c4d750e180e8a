"""Runs that are killed, followed and looked at while they train."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from pipeline.backends.store import Key
from pipeline.backends.store.s3 import client
from support.minio_server import MinioServer
from support.runs import pipeline, start

WAIT_S = 180.0


def wait_for(condition: Callable[[], object], what: str, patience_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.05)


def checkpoints(minio: MinioServer) -> list[tuple[str, str]]:
    """Of all runs that have their store there: one that has none has not begun to train.

    Each with what tells its content from another: checkpoints of a run go into two objects in turn.
    """
    root = client(minio.place, Key(minio.access_key, minio.secret_key))
    listed = [one for bucket in root.list_buckets() for one in root.list_objects(bucket.name, recursive=True)]
    return [(str(one.object_name), str(one.etag)) for one in listed if "/checkpoint-" in str(one.object_name)]


@contextmanager
def begun(*arguments: str | Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`pipeline ARGUMENTS` on the run in FOLDER, which is cancelled where the test leaves it running."""
    process = start(*arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
            pipeline("cancel", folder, out=folder)


def left_of(folder: Path) -> list[str]:
    """Command lines of processes that still name the run's folder."""
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


def family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def supervisor_of(folder: Path) -> int:
    return int(json.loads((folder / "servers.json").read_text())["pid"])


def kill(processes: list[psutil.Process]) -> None:
    """All before any of them sees another one's end, as far as that can be."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(processes, timeout=WAIT_S)
