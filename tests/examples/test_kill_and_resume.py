"""Whatever is killed, a run goes on; synchronous training ends with the same parameters to the bit.

A run survives several deaths in a row here, since each one needs its beginning only to get to the next.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
from support.killing import WAIT_S, a_runner_of, execution, left_of, wait_for
from support.runs import COURSE, EXAMPLES, TWICE, Finished, pipeline, start, unhurried

from pipeline.run import STAGE_NAMES

SOURCE = EXAMPLES / "mnist_train"


Written = set[tuple[Path, int]]
"""Checkpoints go into two files in turn: a new one is a file of another time."""


def checkpoints(folder: Path) -> Written:
    found: Written = set()
    for path in (folder / "private" / "servers").rglob("checkpoint-*.safetensors"):
        with suppress(FileNotFoundError):
            found.add((path, path.stat().st_mtime_ns))
    return found


def model(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(honest: Finished) -> bytes:
    assert honest.code == 0, honest.output
    return model(honest.folder)


def begun(folder: Path, source: Path = SOURCE, settings: tuple[str, ...] = TWICE) -> Popen[str]:
    return start("run", source, "--course", COURSE, *settings, "--out", folder)


def resumed(folder: Path) -> Popen[str]:
    return start("resume", folder)


def until_training(folder: Path, coordinator: Popen[str], known: Written) -> None:
    """It trains, and has a checkpoint beyond those of the life before."""
    wait_for(lambda: coordinator.poll() is not None or checkpoints(folder) - known, "a new checkpoint")
    assert coordinator.poll() is None, coordinator.communicate()


def result(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / "result.json").read_text())
    return loaded


def ended(coordinator: Popen[str], code: int) -> None:
    output, _ = coordinator.communicate(timeout=WAIT_S * 2)
    assert coordinator.returncode == code, output


def test_killed_coordinators_and_servers_are_resumed_to_the_bit(uninterrupted: bytes, tmp_path: Path) -> None:
    """The coordinator in training, the servers in training, the coordinator while it predicts."""
    folder = tmp_path / "run"
    coordinator = begun(folder)
    until_training(folder, coordinator, set())
    coordinator.kill()
    coordinator.communicate()

    known = checkpoints(folder)
    coordinator = resumed(folder)
    until_training(folder, coordinator, known)
    kill_servers(folder)
    ended(coordinator, 3)
    assert result(folder)["points"] is None
    assert left_of(folder) == []

    coordinator = resumed(folder)
    wait_for(lambda: any(one["activation"] for one in predictions(folder)), "the first prediction")
    coordinator.kill()
    coordinator.communicate()
    before = training_activations(folder)

    done = pipeline("resume", folder, out=folder)

    assert done.code == 0, done.output
    assert model(folder) == uninterrupted
    assert training_activations(folder) == before
    assert left_of(folder) == []


def predictions(folder: Path) -> list[dict[str, object]]:
    return list(execution(folder).get("predictions", []))


def training_activations(folder: Path) -> list[list[str]]:
    return [worker["activations"] for worker in execution(folder)["workers"]]


def test_a_killed_run_leaves_no_parameter_server_and_cancel_ends_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = begun(folder)
    until_training(folder, coordinator, set())
    coordinator.kill()
    coordinator.communicate()
    wait_for(lambda: not any("pipeline.training.server" in one for one in left_of(folder)), "the parameter server")

    assert pipeline("cancel", folder, out=folder).code == 0
    assert left_of(folder) == []
    assert result(folder)["outcome"] == "aborted"


def test_a_stopped_run_frees_everything_and_goes_on_and_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """Stopped by each signal and by `cancel`, twice; then one of its workers is killed, and it passes nevertheless."""
    folder, known = tmp_path / "run", Written()
    # what a worker that is replaced costs in accuracy differs from run to run
    coordinator = begun(folder, unhurried(tmp_path), ("--set", "epochs=3"))
    for stop in (signal.SIGINT, signal.SIGTERM, "cancel"):
        until_training(folder, coordinator, known)
        if isinstance(stop, signal.Signals):
            os.kill(coordinator.pid, stop)
        else:
            assert [pipeline("cancel", folder, out=folder).code for _ in range(2)] == [0, 0]
        ended(coordinator, 130)
        assert result(folder)["outcome"] == "aborted"
        assert left_of(folder) == []
        known = checkpoints(folder)
        coordinator = resumed(folder)

    until_training(folder, coordinator, known)
    before = [len(each) for each in training_activations(folder)]
    a_runner_of(folder).kill()
    ended(coordinator, 0)

    after = [len(each) for each in training_activations(folder)]
    assert sum(after) == sum(before) + 1
    assert result(folder)["outcome"] == "passed"


def test_nine_stages_each_a_process_with_the_servers_killed_between(uninterrupted: bytes, tmp_path: Path) -> None:
    """And the same submission twice gives the same model."""
    folder = tmp_path / "run"
    for name in STAGE_NAMES:
        source = (SOURCE, "--course", COURSE, *TWICE) if name == STAGE_NAMES[0] else ()
        done = pipeline("stage", name, *source, "--out", folder, out=folder)
        assert done.code == 0, f"{name}: {done.output}"
        kill_servers(folder)

    assert result(folder)["outcome"] == "passed"
    assert model(folder) == uninterrupted


def kill_servers(folder: Path) -> None:
    try:
        number = json.loads((folder / "servers.json").read_text())["pid"]
        os.kill(number, signal.SIGKILL)
    except (OSError, ValueError, KeyError):
        return
    wait_for(lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == "zombie", "the kill")
