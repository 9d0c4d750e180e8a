"""The contenders, each from a cold start to its last update; scored afterwards by benchmarks.training."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.data_server import serve_together
from benchmarks.processes import finished, free_port, processes, until
from benchmarks.setting import Setting, load_measured
from pipeline.training.checkpoints import version_name
from pipeline.training.control_client import ControlClient
from runner.model import load_student_model, named_arrays


@dataclass(frozen=True)
class Outcome:
    """Seconds from all ranks ready, CPU of all processes in that time, the largest rank's peak memory (MB)."""

    name: str
    cold_start_s: float
    seconds: float
    samples: int
    updates: int
    bytes_an_update: float
    communication_share: float
    cpu_s: float
    peak_mb: float
    server_peak_mb: float
    times: NDArray[Any]
    values: NDArray[np.float32]


def plain(setting: Setting, name: str) -> Outcome:
    """One process, or DDP over gloo."""
    with processes() as start:
        began = time.monotonic()
        ranks = [start("benchmarks.plain_rank", setting.to_json(), str(rank)) for rank in range(setting.ranks)]
        ready = go(setting, ranks)
        finished(ranks)
    return of_ranks(setting, name, began, ready, updates=load_measured(setting, "rank-0").updates)


def older(setting: Setting, name: str) -> Outcome:
    """The course's older protocol."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with processes() as start:
        began = time.monotonic()
        server = start("benchmarks.older", "server", setting.to_json(), str(port))
        until(lambda: answers(f"{base}/getVersion"), [server], 0.1)
        ranks = [start("benchmarks.older", setting.to_json(), str(rank), str(port)) for rank in range(setting.ranks)]
        ready = go(setting, ranks, lambda: requests.post(f"{base}/begin", timeout=60))
        finished(ranks)
        requests.post(f"{base}/end", timeout=60).raise_for_status()
    return of_ranks(setting, name, began, ready, updates=load_measured(setting, "server").updates, server=True)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def go(setting: Setting, ranks: list[subprocess.Popen[bytes]], first: Callable[[], object] = int) -> float:
    """Lets the ranks run when all are ready; the time."""
    until(lambda: all((setting.path / f"ready-{rank}").exists() for rank in range(setting.ranks)), ranks)
    first()
    (setting.path / "go").touch()
    return time.monotonic()


def of_ranks(setting: Setting, name: str, began: float, ready: float, *, updates: int, server: bool = False) -> Outcome:
    ranks = [load_measured(setting, f"rank-{rank}") for rank in range(setting.ranks)]
    centre = load_measured(setting, "server") if server else None
    seconds = max(one.ended for one in ranks) - ready
    exchanged = centre.bytes_exchanged if centre else sum(one.bytes_exchanged for one in ranks)
    kept = np.load(setting.path / "kept.npz")
    return Outcome(
        name=name,
        cold_start_s=ready - began,
        seconds=seconds,
        samples=sum(one.samples for one in ranks),
        updates=updates,
        bytes_an_update=exchanged / updates,
        communication_share=sum(one.communication_s for one in ranks) / (seconds * setting.ranks),
        cpu_s=sum(one.cpu_s for one in ranks) + (centre.cpu_s if centre else 0.0),
        peak_mb=max(one.peak_mb for one in ranks),
        server_peak_mb=centre.peak_mb if centre else 0.0,
        times=kept["times"] - ready,
        values=kept["values"],
    )


def ours(setting: Setting, name: str, mode: str) -> Outcome:
    """This project's parameter server and workers, as a run starts them, checkpoints included."""
    folder = setting.path
    checkpoints = folder / "checkpoints"
    control = ControlClient(folder / "control.sock")
    with processes() as start, serve_together(folder, setting.ranks) as data:
        began = time.monotonic()
        config = write_config(setting, mode, checkpoints)
        server = start("pipeline.training.server", "--config", str(config))
        workers = []
        until(lambda: (folder / "ready.json").exists(), [server])
        told = json.loads((folder / "ready.json").read_text())
        host, port = told["addresses"][0]
        for rank in range(setting.ranks):
            parameters = worker_parameters(setting, rank, f"http://{host}:{port}", data)
            workers.append(start("benchmarks.our_worker", json.dumps(parameters), str(folder / f"rank-{rank}.json")))
        until(lambda: len(control.status(10**9)["workers"]) == setting.ranks, [server, *workers])
        first, ready = control.status(10**9), time.monotonic()
        everybody = [psutil.Process(one.pid) for one in workers] + [psutil.Process(told["worker_pid"])]
        before = [cpu(one) for one in everybody]
        finished(workers)
        status = control.status()
        server_cpu, server_peak = cpu(everybody[-1]), peak(told["worker_pid"])
        control.finish()
    return of_status(setting, name, first, status, ready - began, before, server_cpu, server_peak, checkpoints)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def write_config(setting: Setting, mode: str, checkpoints: Path) -> Path:
    config = setting.path / "server.json"
    most = 2 * setting.epochs * 60_000 // setting.batch + 1
    values = {
        "host": "127.0.0.1",
        "control_socket": str(setting.path / "control.sock"),
        "ready_file": str(setting.path / "ready.json"),
        "open": True,
        "shards": setting.ranks,
        "mode": mode,
        "scale_by_staleness": mode == "async",  # 1511.05950; without it two workers step twice as far
        "learning_rate": setting.learning_rate,
        "momentum": setting.momentum,
        "checkpoints": {"kind": "folder", "folder": str(checkpoints)},
        "scored_versions": list(range(setting.every, most, setting.every)),
    }
    config.write_text(json.dumps(values))
    return config


def worker_parameters(setting: Setting, rank: int, apihost: str, data: str) -> dict[str, Any]:
    return {
        "batch_sz_train": setting.batch,
        "epoch_n": setting.epochs,
        "apihost": apihost,
        "update_intv": setting.accumulate,
        "dataset_url": f"{data}/{setting.shard(rank).name}",
        "device": "cpu",
        "id": str(rank),
        "shard": rank,
        "seed": setting.seed,
        "threads": 1,
    }


def of_status(
    setting: Setting,
    name: str,
    first: dict[str, Any],
    status: dict[str, Any],
    cold_start_s: float,
    before: list[float],
    server_cpu: float,
    server_peak: float,
    checkpoints: Path,
) -> Outcome:
    ranks = [json.loads((setting.path / f"rank-{rank}.json").read_text()) for rank in range(setting.ranks)]
    losses = status["losses"]
    seconds = losses[-1][1] - first["elapsed_s"]
    times = {version: at - first["elapsed_s"] for version, at, _ in losses}
    kept = [version for version in times if (checkpoints / version_name(version)).exists()]
    files = [checkpoints / version_name(version) for version in kept] + [checkpoints / "final.safetensors"]
    names = list(named_arrays(load_student_model().build()))
    spent = [one["communication_s"] + one["wait_s"] for one in ranks]
    cpu_s = [one["cpu_s"] for one in ranks]
    return Outcome(
        name=name,
        cold_start_s=cold_start_s,
        seconds=seconds,
        samples=sum(one["samples"] for one in status["shards"]) - sum(one["samples"] for one in first["shards"]),
        updates=status["version"] - first["version"],
        bytes_an_update=sum(one["bytes_sent"] + one["bytes_received"] for one in status["shards"]) / status["version"],
        communication_share=sum(spent) / (seconds * setting.ranks),
        cpu_s=sum(cpu_s) + server_cpu - sum(before),
        peak_mb=max(one["peak_mb"] for one in ranks),
        server_peak_mb=server_peak,
        times=np.array([times[version] for version in kept] + [seconds]),
        values=np.stack([flat(file, names) for file in files]),
    )


def flat(file: Path, names: list[str]) -> NDArray[np.float32]:
    arrays = load_file(file)
    return np.concatenate([arrays[name].reshape(-1) for name in names])
