"""Whatever is killed, a run goes on; synchronous training ends with the same parameters to the bit."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from support.killing import WAIT_S, a_runner_of, execution, left_of, wait_for
from support.runs import COURSE, EXAMPLES, pipeline, start, submit

from pipeline.run import STAGE_NAMES

SOURCE = EXAMPLES / "mnist_train"


def is_training(folder: Path) -> bool:
    log = folder / "private" / "parameter-server"
    checkpoints = list((folder / "private" / "servers").rglob("checkpoint-*.safetensors"))
    return log.exists() and bool(checkpoints)


def model(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    done = submit(SOURCE, tmp_path_factory.mktemp("whole") / "run")
    assert done.code == 0, done.output
    return model(done.folder)


def test_the_same_submission_twice_gives_the_same_model(uninterrupted: bytes, tmp_path: Path) -> None:
    assert model(submit(SOURCE, tmp_path / "run").folder) == uninterrupted


def test_a_killed_coordinator_is_resumed_to_the_bit(uninterrupted: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")
    coordinator.kill()
    coordinator.communicate()

    done = pipeline("resume", folder, out=folder)

    assert done.code == 0, done.output
    assert model(folder) == uninterrupted


def test_a_run_killed_while_it_predicts_repeats_no_training(uninterrupted: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
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
    return list(execution(folder).get("predictions", []))  # type: ignore[call-overload]


def training_activations(folder: Path) -> list[object]:
    return [worker["activations"] for worker in execution(folder)["workers"]]  # type: ignore[attr-defined]


def test_servers_killed_in_training_are_infrastructure_and_resume_ends_to_the_bit(
    uninterrupted: bytes, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")
    kill_servers(folder)
    output, _ = coordinator.communicate(timeout=WAIT_S)
    assert coordinator.returncode == 3, output
    assert json.loads((folder / "result.json").read_text())["points"] is None
    assert left_of(folder) == []

    done = pipeline("resume", folder, out=folder)

    assert done.code == 0, done.output
    assert model(folder) == uninterrupted


def test_a_killed_run_leaves_no_parameter_server_and_cancel_ends_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")
    coordinator.kill()
    coordinator.communicate()
    wait_for(lambda: not any("pipeline.training.server" in one for one in left_of(folder)), "the parameter server")

    assert pipeline("cancel", folder, out=folder).code == 0
    assert left_of(folder) == []
    assert json.loads((folder / "result.json").read_text())["outcome"] == "aborted"


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")
    a_runner_of(folder).kill()
    output, _ = coordinator.communicate(timeout=WAIT_S * 2)

    assert coordinator.returncode == 0, output
    workers = json.loads((folder / "result.json").read_text())["workers"]
    assert sorted(worker["activations"] for worker in workers) == [1, 2]
    assert json.loads((folder / "result.json").read_text())["outcome"] == "passed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_frees_everything_and_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")
    os.kill(coordinator.pid, number)
    output, _ = coordinator.communicate(timeout=WAIT_S)

    assert coordinator.returncode == 130, output
    assert json.loads((folder / "result.json").read_text())["outcome"] == "aborted"
    assert left_of(folder) == []
    assert pipeline("resume", folder, out=folder).code == 0


def test_cancel_stops_a_run_and_is_harmless_twice(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    coordinator = start("run", SOURCE, "--course", COURSE, "--out", folder)
    wait_for(lambda: is_training(folder), "the first checkpoint")

    codes = [pipeline("cancel", folder, out=folder).code for _ in range(2)]

    coordinator.communicate(timeout=WAIT_S)
    assert codes == [0, 0]
    assert coordinator.returncode == 130
    assert left_of(folder) == []


def test_nine_stages_each_a_process_with_the_servers_killed_between(uninterrupted: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for name in STAGE_NAMES:
        source = (SOURCE, "--course", COURSE) if name == STAGE_NAMES[0] else ()
        done = pipeline("stage", name, *source, "--out", folder, out=folder)
        assert done.code == 0, f"{name}: {done.output}"
        kill_servers(folder)

    assert json.loads((folder / "result.json").read_text())["outcome"] == "passed"
    assert model(folder) == uninterrupted


def kill_servers(folder: Path) -> None:
    try:
        number = json.loads((folder / "servers.json").read_text())["pid"]
        os.kill(number, signal.SIGKILL)
    except (OSError, ValueError, KeyError):
        return
    wait_for(lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == "zombie", "the kill")
