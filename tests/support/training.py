"""A parameter server and workers as processes, with small shards on a local HTTP server."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.training.control_client import ControlClient
from runner import arrays
from support.ready_workers import MARK, ReadyWorker, ReadyWorkers

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 120.0
MODEL = """
from torch import nn

def build_model():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 10)
    )
"""


def write_shard(path: Path, rows: int, seed: int) -> None:
    """Rows that can be learnt: each class is bright in a place of its own."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 10, rows, dtype=np.uint8)
    images = draw.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, 2 * label : 2 * label + 4, 4:24] += 150
    content = arrays.encode({"images": images, "labels": labels}, {"mean": "0.1307", "std": "0.3081"})
    path.write_bytes(content)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@contextmanager
def folder_over_http(folder: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def until(condition: Any, what: str, patience_s: float = PATIENCE_S) -> Any:
    """Waits for `condition()` to be true; its value."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {patience_s:.0f} s")


class Training:
    """One run in a folder: start, kill and start again its server and its workers."""

    def __init__(self, folder: Path, store_url: str, ready: ReadyWorkers, **settings: Any) -> None:
        self.folder = folder
        self.ready = ready
        self.store_url = store_url
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "code").mkdir(exist_ok=True)
        (folder / "code" / "model.py").write_text(MODEL)
        self.checkpoints = folder / "checkpoints"
        self.settings = {
            "host": "127.0.0.1",
            "control_socket": str(folder / "control.sock"),
            "ready_file": str(folder / "ready.json"),
            "checkpoints": {"kind": "folder", "folder": str(self.checkpoints)},
            "shards": 2,
            "grants": [{"id": str(number), "token": f"token-{number}", "shard": number} for number in range(2)],
            "start_wait_s": 60,
        } | settings
        self.control = ControlClient(folder / "control.sock")
        self.server: subprocess.Popen[bytes] | None = None
        self.workers: list[ReadyWorker] = []
        self.address = ""

    def start_server(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        config = self.folder / "server.json"
        config.write_text(json.dumps(self.settings))
        log = (self.folder / "server.log").open("ab")
        command = [sys.executable, "-m", "pipeline.training.server", "--config", str(config)]
        self.server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        log.close()
        told = until(lambda: ready.exists() and json.loads(ready.read_text()), "the server's start")
        host, port = next(one for one in told["addresses"] if isinstance(one, list))
        self.worker_pid = told["worker_pid"]
        self.address = f"http://{host}:{port}"

    def start_worker(self, number: int, **parameters: Any) -> ReadyWorker:
        deadline = parameters.pop("deadline", None)
        values = {
            "batch_sz_train": 8,
            "epoch_n": 2,
            "apihost": self.address,
            "update_intv": 1,
            "dataset_url": f"{self.store_url}/shard-{number}.safetensors",
            "device": "cpu",
            "id": str(number),
            "token": f"token-{number}",
            "shard": number,
            "seed": 7,
        } | parameters
        variables = {"RUNNER_CODE": str(self.folder / "code")}
        if deadline is not None:
            variables["__OW_DEADLINE"] = str(int(1000 * deadline))
        worker = self.ready.start(values, variables, self.folder / f"worker-{len(self.workers)}.log")
        self.workers.append(worker)
        return worker

    def result(self, worker: ReadyWorker) -> dict[str, Any]:
        worker.wait(PATIENCE_S)
        output = worker.output.read_text()
        line = next((one for one in output.splitlines() if one.startswith(MARK)), None)
        assert line is not None, f"a worker failed:\n{output[-3000:]}"
        value: dict[str, Any] = json.loads(line.removeprefix(MARK))
        return value

    def kill(self) -> None:
        """SIGKILL to everybody, as a machine that goes down."""
        self.kill_workers()
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            until(lambda: not alive(self.worker_pid), "the end of the server's own process")
            self.server = None

    def kill_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait(PATIENCE_S)
        self.workers.clear()

    def stop(self) -> None:
        self.kill_workers()
        if self.server is not None:
            self.server.terminate()
            self.server.wait(timeout=PATIENCE_S)
            self.server = None

    def __enter__(self) -> Training:
        self.start_server()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
