"""Averaging a vector over 4 workers: AllReduce and ScatterReduce through the store, and the parameter server.

    python -m benchmarks.aggregation [--workers 4] [--repeat 3] [--out FILE]

Workers are processes that compute nothing. They reach what a run's workers reach: the forwarder to an embedded store,
or the server's socket. Requests and bytes (both directions) are those of a round: of the store as the forwarder counts
them, waiting for others included; of the server as its clients count them, bodies only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.processes import finished, processes, until
from benchmarks.setting import Setting, wait_for_go
from pipeline.backends.servers import ForwarderRequest
from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.run import Record, Request, Run, new_run_id
from pipeline.settings import Course, Sandbox, Servers
from runner.bucket import Bucket
from runner.client import Client
from runner.exchange import Exchange, owners_of

LENET, LARGE = 61_706, 5_000_000
ROUNDS = {LENET: 40, LARGE: 5}
FORGET_EACH = 5
STORE, SERVER = "127.0.0.1:9000", "127.0.0.1:29500"
WAYS = ("allreduce", "scatterreduce", "parameter-server")
PATIENCE_S = 300.0
NO_CAP = 2**50


class CountingClient(Client):
    requests = 0

    def once(self, *given: Any) -> Any:
        self.requests += 1
        return super().once(*given)


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "worker":
        work(json.loads(sys.argv[2]))
        return
    asked = arguments()
    console, load = Console(width=None if sys.stdout.isatty() else 120), os.getloadavg()
    plan = [(size, way) for size in ROUNDS for way in WAYS] * asked.repeat
    random.Random(1).shuffle(plan)
    found: dict[str, list[dict[str, float]]] = {}
    for size, way in plan:
        with console.status(f"{way}, {size} parameters"):
            found.setdefault(f"{size} {way}", []).append(measure(size, way, asked.workers))
    console.print(table(found, asked.workers))
    told = {"workers": asked.workers, "cores": os.cpu_count(), "load": (load, os.getloadavg()), "found": found}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(told, indent=2) + "\n")
    console.print(f"load {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after; written to {asked.out}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/aggregation.json"))
    return parser.parse_args()


def measure(size: int, way: str, workers: int) -> dict[str, float]:
    """Seconds, requests and bytes of one round."""
    with tempfile.TemporaryDirectory(prefix="aggregation-") as place:
        one = by_server if way == "parameter-server" else through_store
        return one(Path(place), size, way, workers)


def through_store(place: Path, size: int, way: str, workers: int) -> dict[str, float]:
    settings = Course(name="benchmark", assignments=(), servers=Servers())
    asked = Request(source="nowhere", sandbox=Sandbox.PROCESS)
    record = Record(run=new_run_id(), request=asked, course=settings, settings_sha256="", created=datetime.now(UTC))
    servers = EmbeddedServers(Run.create(place / "run", record))
    try:
        key, bucket = servers.run_key(timedelta(hours=1)), servers.run_bucket().name
        request = ForwarderRequest("train", "run", (), False, NO_CAP, NO_CAP, NO_CAP, True, NO_CAP)
        socket = servers.open_forwarder(request)
        told = {"bucket": bucket, "access_key": key.access_key, "secret_key": key.secret_key}
        seconds = run_workers(place, size, way, workers, {STORE: str(socket)}, told)[0]
        traffic = servers.traffic("train")
    finally:
        servers.stop()
    return per_round(size, seconds, traffic.requests, traffic.bytes_sent + traffic.bytes_received)


def by_server(place: Path, size: int, way: str, workers: int) -> dict[str, float]:
    socket, ready = place / "workers.sock", place / "ready.json"
    values = {
        "socket": str(socket), "control_socket": str(place / "control.sock"), "ready_file": str(ready), "open": True,
        "shards": workers, "mode": "sync", "momentum": 0.9,
    }  # fmt: skip
    (place / "server.json").write_text(json.dumps(values))
    with processes() as start:
        server = start("pipeline.training.server", "--config", str(place / "server.json"))
        until(ready.exists, [server])
        seconds, ended = run_workers(place, size, way, workers, {SERVER: str(socket)}, {})
    requests = sum(one["requests"] for one in ended)
    return per_round(size, seconds, requests, sum(one["bytes"] for one in ended))


def per_round(size: int, seconds: float, requests: float, moved: float) -> dict[str, float]:
    rounds = ROUNDS[size]
    return {"seconds": seconds / rounds, "requests": requests / rounds, "bytes": moved / rounds}


def run_workers(
    place: Path, size: int, way: str, workers: int, sockets: dict[str, str], told: dict[str, Any]
) -> tuple[float, list[dict[str, float]]]:
    """Seconds from the first worker's beginning to the last one's end, and what each told."""
    setting = Setting(str(place), workers, 64, 1, 1, 1, 0.01, 0.0, 10**9)
    os.environ["RUNNER_SOCKETS"] = json.dumps(sockets)
    with processes() as start:
        ranks = [
            start(
                "benchmarks.aggregation",
                "worker",
                json.dumps(told | {"place": str(place), "size": size, "way": way, "rank": rank, "workers": workers}),
            )
            for rank in range(workers)
        ]
        until(lambda: all((place / f"ready-{rank}").exists() for rank in range(workers)), ranks)
        (setting.path / "go").touch()
        finished(ranks)
    ended = [json.loads((place / f"ended-{rank}.json").read_text()) for rank in range(workers)]
    return max(one["end"] for one in ended) - min(one["begun"] for one in ended), ended


# a worker


def work(told: dict[str, Any]) -> None:
    round_, counts = (serving if told["way"] == "parameter-server" else exchanging)(told)
    wait_for_go(Setting(told["place"], told["workers"], 64, 1, 1, 1, 0.01, 0.0, 10**9), told["rank"])
    begun = time.monotonic()
    for number in range(ROUNDS[told["size"]]):
        round_(number)
    ended = {"begun": begun, "end": time.monotonic(), **counts()}
    (Path(told["place"]) / f"ended-{told['rank']}.json").write_text(json.dumps(ended))


Round = Callable[[int], None]
Counts = Callable[[], dict[str, float]]


def exchanging(told: dict[str, Any]) -> tuple[Round, Counts]:
    bucket = Bucket(STORE, told["bucket"], told["access_key"], told["secret_key"])
    size, workers = told["size"], told["workers"]
    exchange = Exchange(bucket, told["rank"], workers, owners_of(told["way"], workers), size)
    vector = np.full(size, 1e-6, np.float32)

    def round_(number: int) -> None:
        exchange.average(number, vector, True, time.time() + PATIENCE_S)
        if number and number % FORGET_EACH == 0:
            exchange.forget(range(number - FORGET_EACH, number))

    return round_, lambda: {"requests": bucket.requests, "bytes": bucket.sent + bucket.received}


def serving(told: dict[str, Any]) -> tuple[Round, Counts]:
    """A round is a push that the server answers with the new parameters, when all have pushed."""
    client = CountingClient(f"http://{SERVER}", "")
    schema = json.dumps([{"name": "all", "dtype": "float32", "shape": [told["size"]], "trainable": True}]).encode()
    answer = client.register({"id": str(told["rank"]), "shard": told["rank"]})
    parameters, gradient = bytearray(4 * told["size"]), np.full(told["size"], 1e-6, np.float32).tobytes()
    if answer["parameters_wanted"]:
        client.upload(schema, parameters)
    client.pull(memoryview(parameters), min_version=0, timeout_s=20)
    client.requests, state = 0, {"version": 0, "bytes": 0}

    def round_(number: int) -> None:
        headers = {
            "Base-Version": str(state["version"]), "Sequence": str(number + 1), "Position": f"0.{number}",
            "Next-Position": f"0.{number + 1}", "Batches": "1", "Samples": "64", "Loss": "0.5",
            "Compute-Seconds": "0.01", "Communication-Seconds": "0.001",
        }  # fmt: skip
        reply = client.push(gradient, headers, memoryview(parameters), timeout_s=20)
        while not reply.fresh:
            reply = client.pull(memoryview(parameters), min_version=number + 1, timeout_s=20)
        state.update(version=reply.version, bytes=state["bytes"] + len(gradient) + len(parameters))

    return round_, lambda: {"requests": client.requests, "bytes": state["bytes"]}


def table(found: dict[str, list[dict[str, float]]], workers: int) -> Table:
    shown = Table("parameters", "way", "s a round", "least to most", "requests", "MB", title=f"{workers} workers")
    for name, ones in sorted(found.items(), key=lambda one: (int(one[0].split()[0]), WAYS.index(one[0].split()[1]))):
        size, way = name.split()
        seconds = sorted(one["seconds"] for one in ones)
        middle = {key: statistics.median(one[key] for one in ones) for key in ("requests", "bytes")}
        shown.add_row(
            size, way, f"{statistics.median(seconds):.3f}", f"{seconds[0]:.3f} to {seconds[-1]:.3f}",
            f"{middle['requests']:.1f}", f"{middle['bytes'] / 1e6:.1f}",
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
