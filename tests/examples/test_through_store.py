"""A training without a server whose worker is killed, and then its coordinator, goes on and ends well."""

from __future__ import annotations

import json
from pathlib import Path

from support.killing import a_runner_of, execution, left_of, wait_for
from support.runs import EXAMPLES, pipeline, start

WORKERS = 3


def kept(folder: Path) -> bool:
    """Whether each worker has a checkpoint in the run's bucket."""
    found = {path.name for path in (folder / "private" / "servers").rglob("checkpoint-?.safetensors")}
    return len(found) == WORKERS


def activations(folder: Path) -> list[int]:
    workers: list[dict[str, list[str]]] = execution(folder).get("workers", [])
    return sorted(len(one["activations"]) for one in workers)


def test_a_killed_worker_is_replaced_and_a_killed_coordinator_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ("--set", "epochs=6", "--set", "checkpoint_updates=10", "--set", "scored_checkpoints=1")
    coordinator = start("run", EXAMPLES / "mnist_allreduce", "--sandbox", "process", "--out", folder, *settings)
    wait_for(lambda: kept(folder), "a checkpoint of each worker")
    a_runner_of(folder).kill()
    wait_for(lambda: activations(folder) == [1, 1, 2], "the lost worker's second activation")
    coordinator.kill()
    coordinator.communicate()

    done = pipeline("resume", folder, out=folder)

    assert done.code == 0, done.output
    assert done.result["outcome"] == "passed"
    assert activations(folder) == [2, 2, 3]
    assert [worker["steps"] for worker in done.result["workers"]] == [6 * 40] * WORKERS
    assert left_of(folder) == []
    secret = json.loads((folder / "private" / "execution.json").read_text())["secrets"][0]
    for log in (folder / "logs").glob("worker-*.log"):
        assert secret not in log.read_text()
