"""The protocol alone, without computing: rounds a second with LeNet's 61,706 parameters, ours and the older one."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.processes import finished, free_port, processes, until
from benchmarks.setting import Setting, wait_for_go
from runner.client import Client

SIZE = 61_706
ROUNDS = {"ours": 1500, "older": 200}
CLIENTS = (1, 2, 4)
SCHEMA = json.dumps([{"name": "all", "dtype": "float32", "shape": [SIZE], "trainable": True}]).encode()


def compare(console: Console) -> dict[str, Any]:
    """Rounds a second: protocol -> clients -> figure. A round has a new version's parameters and a gradient."""
    found: dict[str, dict[str, float]] = {"ours": {}, "older": {}}
    for kind, start_server in (("ours", start_ours), ("older", start_older)):
        for clients in CLIENTS:
            with console.status(f"the {kind} protocol alone, {clients} clients"):
                found[kind][str(clients)] = measure(kind, clients, start_server)
    return found


def table(found: dict[str, Any]) -> Table:
    shown = Table(
        "rounds/s", *(f"{clients} clients" for clients in CLIENTS), title="The protocol alone, 247 KB each way"
    )
    for kind in found:
        shown.add_row(kind, *(f"{found[kind][str(clients)]:.0f}" for clients in CLIENTS))
    ratios = [found["ours"][str(clients)] / found["older"][str(clients)] for clients in CLIENTS]
    shown.add_row("ratio", *(f"{ratio:.1f}" for ratio in ratios))
    return shown


def measure(kind: str, clients: int, start_server: Callable[..., str]) -> float:
    rounds = ROUNDS[kind] // clients
    with tempfile.TemporaryDirectory(prefix="protocol-") as place, processes() as start:
        setting = Setting(place, 1, 64, 1, 1, 1, 0.01, 0.0, 10**9)
        address = start_server(start, setting)
        ranks = [
            start("benchmarks.protocol", setting.to_json(), str(rank), kind, address, str(rounds))
            for rank in range(clients)
        ]
        until(lambda: all((setting.path / f"ready-{rank}").exists() for rank in range(clients)), ranks)
        (setting.path / "go").touch()
        finished(ranks)
        times = [json.loads((setting.path / f"times-{rank}.json").read_text()) for rank in range(clients)]
    return float(clients * rounds / (max(end for _, end in times) - min(begun for begun, _ in times)))


def start_ours(start: Callable[..., Any], setting: Setting) -> str:
    values = {"host": "127.0.0.1", "open": True, "mode": "async", "ready_file": str(setting.path / "ready.json")}
    config = setting.path / "server.json"
    config.write_text(json.dumps(values))
    server = start("pipeline.training.server", "--config", str(config))
    until(lambda: (setting.path / "ready.json").exists(), [server])
    host, port = json.loads((setting.path / "ready.json").read_text())["addresses"][0]
    return f"http://{host}:{port}"


def start_older(start: Callable[..., Any], setting: Setting) -> str:
    from benchmarks.contenders import answers

    port = free_port()
    server = start("benchmarks.older", "server", setting.to_json(), str(port))
    until(lambda: answers(f"http://127.0.0.1:{port}/getVersion"), [server], 0.1)
    return str(port)


def exchange_ours(address: str, rank: int) -> Callable[[], None]:
    """One round: a push whose answer brings the new parameters."""
    client = Client(address, "")
    answer = client.register({"id": str(rank)})
    parameters, gradient = bytearray(4 * SIZE), np.full(SIZE, 1e-6, np.float32).tobytes()
    if answer["parameters_wanted"]:
        client.upload(SCHEMA, parameters)
    state = {"version": 0, "step": 0}

    def round_() -> None:
        step = state["step"]
        headers = {
            "Base-Version": str(state["version"]), "Sequence": str(step + 1), "Position": f"0.{step}",
            "Next-Position": f"0.{step + 1}", "Batches": "1", "Samples": "64", "Loss": "0.5",
            "Compute-Seconds": "0.01", "Communication-Seconds": "0.001",
        }  # fmt: skip
        reply = client.push(gradient, headers, memoryview(parameters), timeout_s=10)
        assert reply.fresh, "a push brought no parameters"
        state.update(version=reply.version, step=step + 1)

    return round_


def exchange_older(port: str) -> Callable[[], None]:
    """One round as the course's worker had it: the version, the parameters, the gradients."""
    from benchmarks.older import OlderClient

    client = OlderClient(int(port))
    first = client.refresh()
    assert first is not None
    gradients = {name: one * 0 for name, one in first.items()}

    def round_() -> None:
        client.push(gradients)
        client.refresh()

    return round_


def main() -> None:
    setting, rank, kind = Setting(**json.loads(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    round_ = exchange_ours(sys.argv[4], rank) if kind == "ours" else exchange_older(sys.argv[4])
    round_()
    wait_for_go(setting, rank)
    begun = time.monotonic()
    for _ in range(int(sys.argv[5])):
        round_()
    (setting.path / f"times-{rank}.json").write_text(json.dumps([begun, time.monotonic()]))


if __name__ == "__main__":
    main()
