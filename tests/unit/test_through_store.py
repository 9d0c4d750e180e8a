"""Workers that average through the store alone: the same models as one process, and as NumPy's references."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.averaging import ROWS, Vector, averaged_models, elastic, make_model, one_process, shard
from support.bucket_server import Objects, bucket_over_http
from torch import nn

from runner import arrays
from runner.bucket import Bucket, LateError
from runner.errors import FormatError
from runner.exchange import Exchange, owners_of
from runner.flat_model import FlatModel
from runner.learning import Learner
from runner.model import StudentModel
from runner.parameters import StoreParameters
from runner.store_worker import StoreWorker, batches_of

CPU = torch.device("cpu")


@pytest.fixture
def objects() -> Iterator[Objects]:
    with bucket_over_http() as found:
        yield found


STUDENT = StudentModel("model.py", make_model, nn.functional.cross_entropy, None, lambda model, images: model(images))


def asked(objects: Objects, rank: int, **changes: Any) -> StoreParameters:
    return StoreParameters.parse(
        {
            "batch_sz_train": 8,
            "epoch_n": 2,
            "update_intv": 1,
            "dataset_url": "http://store/shard",
            "device": "cpu",
            "shard": rank,
            "seed": 5,
            "learning_rate": 0.1,
            "aggregation": "allreduce",
            "endpoint": objects.endpoint,
            "bucket": "run",
            "access_key": "key",
            "secret_key": "secret",
            "shard_rows": list(ROWS),
        }
        | changes
    )


def worker(objects: Objects, rank: int, **changes: Any) -> StoreWorker:
    parameters = asked(objects, rank, **changes)
    learner = Learner(STUDENT, shard(rank), FlatModel(make_model(), CPU), batches_of(parameters, rank))
    return StoreWorker(parameters, learner, Bucket(objects.endpoint, "run", "key", "secret"))


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Each in a thread of its own; what they return. Raises what one of them raises."""
    found: list[Any] = [None] * len(works)

    def work(number: int) -> None:
        try:
            found[number] = works[number]()
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(works))]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def trained(objects: Objects, **changes: Any) -> Vector:
    """The final parameters of three workers, as one vector."""
    objects.put("start", b"{}")
    initial = {name: one.detach().numpy() for name, one in make_model().named_parameters()}
    objects.put("initial.safetensors", arrays.encode(initial))
    results = at_once([worker(objects, rank, **changes).train for rank in range(len(ROWS))])
    assert all(one["finished"] for one in results)
    assert [one["steps"] for one in results] == [10, 10, 8]
    return final(objects)


def final(objects: Objects) -> Vector:
    found, _ = arrays.decode(objects.stored["final.safetensors"])
    return np.concatenate([found[name].reshape(-1) for name, _ in make_model().named_parameters()]).astype(float)


@pytest.mark.parametrize("aggregation", ["allreduce", "scatterreduce"])
@pytest.mark.parametrize(("momentum", "optimiser"), [(0.0, "sgd"), (0.9, "sgd"), (0.0, "adam")])
def test_averaged_gradients_make_the_model_of_one_process(
    objects: Objects, aggregation: str, momentum: float, optimiser: str
) -> None:
    found = trained(objects, aggregation=aggregation, momentum=momentum, optimiser=optimiser)
    np.testing.assert_allclose(found, one_process(momentum, optimiser), rtol=1e-4, atol=2e-6)


def test_models_averaged_after_each_plain_step_are_that_of_one_process_too(objects: Objects) -> None:
    found = trained(objects, algorithm="model-averaging", momentum=0.0)
    np.testing.assert_allclose(found, one_process(0.0), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("aggregation", ["allreduce", "scatterreduce"])
def test_models_averaged_after_local_steps_are_those_of_the_reference(objects: Objects, aggregation: str) -> None:
    found = trained(objects, aggregation=aggregation, algorithm="model-averaging", momentum=0.5, update_intv=3)
    np.testing.assert_allclose(found, averaged_models(3), rtol=1e-4, atol=2e-6)


def test_elastic_averaging_ends_with_the_centre_of_the_reference(objects: Objects) -> None:
    found = trained(objects, algorithm="easgd", momentum=0.5, update_intv=2, force=0.3)
    np.testing.assert_allclose(found, elastic(2, 0.3), rtol=1e-4, atol=2e-6)


def test_both_ways_give_the_same_bits(objects: Objects) -> None:
    first = trained(objects, momentum=0.9)
    with bucket_over_http() as other:
        assert (trained(other, momentum=0.9, aggregation="scatterreduce") == first).all()


# the exchange


def exchanged(objects: Objects, aggregation: str, workers: int) -> list[NDArray[np.float32]]:
    vectors = [np.arange(10, dtype=np.float32) * (rank + 1) for rank in range(workers)]

    def work(rank: int) -> None:
        bucket = Bucket(objects.endpoint, "run", "key", "secret")
        exchange = Exchange(bucket, rank, workers, owners_of(aggregation, workers), 10)
        exchange.average(7, vectors[rank], True, time.time() + 30)

    at_once([lambda rank=rank: work(rank) for rank in range(workers)])  # type: ignore[misc]
    return vectors


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_chunk_is_summed_by_its_worker_alone(objects: Objects, workers: int) -> None:
    found = exchanged(objects, "scatterreduce", workers)
    for one in found:
        np.testing.assert_allclose(one, np.arange(10) * (workers + 1) / 2)
    parts = [key for key in objects.stored if "merged" not in key]
    assert len(parts) == workers * (workers - 1)
    assert all(key.split("-")[1] != key.split("-")[2] for key in parts), "nobody sends itself its own chunk"
    assert sum(len(objects.stored[key]) for key in parts) == 4 * 10 * (workers - 1), "4 bytes a number"
    assert objects.requests("PUT", "exchange/") == workers * workers


def test_one_worker_sums_for_all_with_one_put_of_each(objects: Objects) -> None:
    found = exchanged(objects, "allreduce", 4)
    for one in found:
        np.testing.assert_allclose(one, np.arange(10) * 2.5)
    assert objects.requests("PUT", "exchange/") == 4
    assert sorted(objects.stored) == [
        "exchange/000007-1-0", "exchange/000007-2-0", "exchange/000007-3-0", "exchange/000007-merged-0",
    ]  # fmt: skip


def test_nobody_lists_the_bucket(objects: Objects) -> None:
    exchanged(objects, "scatterreduce", 3)
    assert all(key for method, key in objects.asked if method == "GET")


def test_who_never_comes_is_waited_for_only_so_long_and_named(objects: Objects) -> None:
    exchange = Exchange(Bucket(objects.endpoint, "run", "k", "s"), 0, 2, (0,), 4)
    with pytest.raises(LateError, match="000000-1-0"):
        exchange.average(0, np.zeros(4, np.float32), True, time.time() + 0.2)


def test_a_part_of_another_size_is_named(objects: Objects) -> None:
    objects.put("exchange/000000-1-0", b"\0" * 12)
    exchange = Exchange(Bucket(objects.endpoint, "run", "k", "s"), 0, 2, (0,), 4)
    with pytest.raises(FormatError, match="12 bytes, this model's 16"):
        exchange.average(0, np.zeros(4, np.float32), True, time.time() + 5)


# activations that end


@pytest.mark.parametrize("algorithm", ["gradient-averaging", "easgd"])
def test_a_worker_that_dies_goes_on_from_its_checkpoint_and_changes_no_bit(objects: Objects, algorithm: str) -> None:
    """The others wait for it; what it has given already, it gives again."""
    settings = {"algorithm": algorithm, "momentum": 0.5, "checkpoint_rounds": 3, "aggregation": "scatterreduce"}
    with bucket_over_http() as other:
        whole = trained(other, **settings, force=0.2)

    def dies() -> Any:
        first = worker(objects, 1, **settings, force=0.2)
        first.begin()
        while first.round < 5:
            first.step()
        return worker(objects, 1, **settings, force=0.2).train()

    objects.put("start", b"{}")
    objects.put("initial.safetensors", other.stored["initial.safetensors"])
    results = at_once(
        [worker(objects, 0, **settings, force=0.2).train, dies, worker(objects, 2, **settings, force=0.2).train]
    )
    assert all(one["finished"] for one in results)
    assert (final(objects) == whole).all()


def test_workers_hand_back_near_their_deadline_and_go_on(objects: Objects) -> None:
    with bucket_over_http() as other:
        whole = trained(other, momentum=0.9)
    objects.put("start", b"{}")
    objects.put("initial.safetensors", other.stored["initial.safetensors"])

    def in_two(rank: int) -> list[dict[str, Any]]:
        first = worker(objects, rank, momentum=0.9)
        first.must_leave = lambda: first.round >= 4  # type: ignore[method-assign]
        return [first.train(), worker(objects, rank, momentum=0.9).train()]

    for before, after in at_once([lambda rank=rank: in_two(rank) for rank in range(3)]):  # type: ignore[misc]
        assert (before["finished"], before["handed_back"], before["round"]) == (False, True, 4)
        assert after["finished"]
        assert after["steps"] == (8 if after["shard"] == 2 else 10)
    assert (final(objects) == whole).all()


def test_what_nobody_needs_any_more_is_removed(objects: Objects) -> None:
    trained(objects, checkpoint_rounds=2)
    assert {int(key[9:15]) for key in objects.stored if key.startswith("exchange/")} == {8, 9}


def test_the_bucket_holds_few_rounds_where_it_is_small(objects: Objects) -> None:
    one_round = 4 * FlatModel(make_model(), CPU).floats * len(ROWS)
    small = worker(objects, 0, stored_bytes=4 * one_round)
    assert small.keep_each == 3
