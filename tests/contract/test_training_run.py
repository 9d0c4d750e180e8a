"""Whole trainings: a parameter server and real workers as processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file
from support.bucket_server import bucket_over_http
from support.ready_workers import ReadyWorkers, ready_workers
from support.training import Training, folder_over_http, until, write_shard

from runner.training import main

ROWS, UPDATES = 96, 24


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(3):
        write_shard(folder / f"shard-{number}.safetensors", ROWS, number)
    with folder_over_http(folder) as url:
        yield url


@pytest.fixture(scope="module")
def ready() -> Iterator[ReadyWorkers]:
    with ready_workers() as made:
        yield made


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, store: str, ready: ReadyWorkers) -> bytes:
    """The final parameters of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with Training(folder, store, ready, checkpoint_updates=4) as training:
        results = [training.result(one) for one in [training.start_worker(0), training.start_worker(1)]]
        status = training.control.status()
        assert [one["finished"] for one in results] == [True, True]
        assert status["version"] == UPDATES and status["finished"]
        assert training.control.finish() == UPDATES
    return (folder / "checkpoints" / "final.safetensors").read_bytes()


@pytest.mark.slow
def test_a_sync_run_killed_at_any_update_ends_with_the_same_bits(
    tmp_path: Path, store: str, ready: ReadyWorkers, uninterrupted: bytes
) -> None:
    training = Training(tmp_path, store, ready, checkpoint_updates=4)
    reached = 0
    for version in (1, 9, 18):
        training.start_server()
        for number in range(2):
            training.start_worker(number)
        reached = until(lambda wanted=version: at_least(training, wanted), f"version {version}")
        training.kill()
    training.start_server()
    try:
        resumed = training.control.status()["version"]
        assert resumed > reached - 4
        results = [training.result(one) for one in [training.start_worker(1), training.start_worker(0)]]
        assert all(one["finished"] for one in results)
        assert training.control.finish() == UPDATES
    finally:
        training.stop()
    assert (tmp_path / "checkpoints" / "final.safetensors").read_bytes() == uninterrupted


def at_least(training: Training, version: int) -> int:
    now = int(training.control.status()["version"])
    return now if now >= version else 0


@pytest.mark.slow
def test_a_worker_that_hands_back_goes_on_where_its_shard_stands_and_changes_no_bit(
    tmp_path: Path, store: str, ready: ReadyWorkers, uninterrupted: bytes
) -> None:
    with Training(tmp_path, store, ready) as training:
        other = training.start_worker(1)
        first = training.result(training.start_worker(0, deadline=time.time() + 3600, margin_s=3600))
        assert not first["finished"] and first["code"] == 200 and first["steps"] == 0
        second = training.result(training.start_worker(0))
        assert second["finished"] and training.result(other)["finished"]
        training.control.finish()
    assert (tmp_path / "checkpoints" / "final.safetensors").read_bytes() == uninterrupted


@pytest.mark.slow
def test_a_run_goes_on_without_a_killed_worker_and_its_shard_goes_to_the_next(
    tmp_path: Path, store: str, ready: ReadyWorkers
) -> None:
    with Training(tmp_path, store, ready, lease_s=2, start_wait_s=30) as training:
        victim, other = training.start_worker(0, epoch_n=40), training.start_worker(1)
        until(lambda: at_least(training, 3), "the third update")
        victim.kill()
        victim.wait(60)
        assert training.result(other)["finished"]
        status = training.control.status()
        left = status["shards"][0]
        assert not left["finished"] and left["steps"] > 0
        training.control.lost(shard=0)
        result = training.result(training.start_worker(0))
        shard = training.control.status()["shards"][0]
        assert result["finished"] and shard["steps"] == 2 * ROWS // 8
        assert result["steps"] == shard["steps"] - left["steps"]


@pytest.mark.slow
def test_a_shard_that_never_comes_is_waited_for_only_so_long(tmp_path: Path, store: str, ready: ReadyWorkers) -> None:
    with Training(tmp_path, store, ready, start_wait_s=1) as training:
        assert training.result(training.start_worker(0))["finished"]
        status = training.control.status()
        assert status["version"] == UPDATES and not status["shards"][1]["registered"]


@pytest.mark.slow
def test_a_mode_without_a_barrier_learns_too(tmp_path: Path, store: str, ready: ReadyWorkers) -> None:
    with Training(
        tmp_path, store, ready, mode="bounded-staleness", staleness=1, optimiser="adam", learning_rate=0.01
    ) as training:
        workers = [training.start_worker(number, epoch_n=6) for number in range(2)]
        assert all(training.result(one)["finished"] for one in workers)
        losses = [loss for _, _, loss in training.control.status()["losses"]]
        assert len(losses) == 2 * 6 * ROWS // 8
        assert sum(losses[-12:]) < 0.5 * sum(losses[:12])


@pytest.mark.slow
def test_elastic_averaging_by_the_server_is_that_through_the_store(
    tmp_path: Path, store: str, ready: ReadyWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker, for whom asynchronous is no other than synchronous."""
    easgd = {"algorithm": "easgd", "learning_rate": 0.05, "momentum": 0.5, "force": 0.3, "update_intv": 3}
    one = {"shards": 1, "grants": [{"id": "0", "token": "token-0", "shard": 0}]}
    with Training(tmp_path, store, ready, mode="async", learning_rate=0.3, momentum=0.0, **one) as training:
        assert training.result(training.start_worker(0, **easgd))["finished"]
        training.control.finish()
    monkeypatch.setenv("RUNNER_CODE", str(tmp_path / "code"))
    with bucket_over_http() as bucket:
        bucket.put("start", b"{}")
        bucket.put("initial.safetensors", (tmp_path / "checkpoints" / "initial.safetensors").read_bytes())
        asked = {
            "batch_sz_train": 8,
            "epoch_n": 2,
            "dataset_url": f"{store}/shard-0.safetensors",
            "device": "cpu",
            "seed": 7,
            "aggregation": "allreduce",
            "endpoint": bucket.endpoint,
            "bucket": "run",
            "access_key": "key",
            "secret_key": "secret",
            "shard_rows": [ROWS],
        }
        assert main(asked | easgd)["finished"]
        found = load(bucket.stored["final.safetensors"])
    for name, centre in load_file(tmp_path / "checkpoints" / "final.safetensors").items():
        np.testing.assert_allclose(centre, found[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_two_workers_by_hand_with_the_course_s_six_parameters_finish(
    tmp_path: Path, store: str, ready: ReadyWorkers
) -> None:
    """Both of id 0; the second is given another by an open server."""
    open_ = {"open": True, "grants": [], "shards": 0, "mode": "async", "gradients_per_update": 4, "checkpoints": None}
    six = {"id": None, "token": None, "shard": None, "seed": None, "update_intv": 2}
    with Training(tmp_path, store, ready, **open_) as training:
        results = [training.result(one) for one in [training.start_worker(0, **six), training.start_worker(1, **six)]]
        assert all(one["code"] == 200 and one["finished"] and one["avg_loss"] > 0 for one in results)
        status = training.control.status()
        assert status["version"] == 2 * 2 * ROWS // 8 // 2 // 4
        assert sum(shard["steps"] for shard in status["shards"]) == 2 * 2 * ROWS // 8


@pytest.mark.slow
def test_a_terminated_server_keeps_its_last_update(tmp_path: Path, store: str, ready: ReadyWorkers) -> None:
    training = Training(tmp_path, store, ready, checkpoint_updates=1000, updates=5)
    training.start_server()
    results = [training.result(one) for one in [training.start_worker(0), training.start_worker(1)]]
    assert all(one["finished"] and one["steps"] == 5 for one in results)
    training.control.score(0.5, 5)
    training.stop()
    training.start_server()
    status = training.control.status()
    training.stop()
    assert (status["version"], status["score"]) == (5, [0.5, 5])
    assert load_file(tmp_path / "checkpoints" / "initial.safetensors")["1.weight"].shape == (16, 784)
