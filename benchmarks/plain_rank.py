"""One process, or one rank of DistributedDataParallel over gloo: `python -m benchmarks.plain_rank SETTING RANK`."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.setting import MODEL_BYTES, Measured, Recorder, Setting, load_rank, start_rank, wait_for_go
from runner.batches import Position


def main() -> None:
    setting, rank = start_rank()
    rows, model, batches = load_rank(setting, rank)
    measured_s = [0.0]
    trained: nn.Module = model
    if setting.ranks > 1:
        init = f"file://{setting.path}/gloo"
        dist.init_process_group("gloo", init_method=init, rank=rank, world_size=setting.ranks)
        trained = DistributedDataParallel(model)
        trained.register_comm_hook(measured_s, lambda spent, bucket: timed_all_reduce(spent, bucket))
    optimiser = torch.optim.SGD(model.parameters(), lr=setting.learning_rate, momentum=setting.momentum)
    recorder = Recorder(setting)
    wait_for_go(setting, rank)
    measured, here = Measured(), Position(0, 0)
    while not batches.is_last(here):
        count = batches.round(here, setting.accumulate)
        optimiser.zero_grad()
        for number in range(count):
            images, labels = rows.batch(batches.rows_of(batches.after(here, number)))
            with no_sync(trained, number + 1 < count):
                loss = nn.functional.cross_entropy(trained(images), labels) / count
                loss.backward()  # type: ignore[no-untyped-call]
            measured.samples += len(labels)
        optimiser.step()
        measured.updates += 1
        here = batches.after(here, count)
        if rank == 0:
            recorder.updated(model)
    measured.communication_s = measured_s[0]
    finish(setting, rank, measured, recorder, model)


def timed_all_reduce(spent: list[float], bucket: Any) -> torch.futures.Future[torch.Tensor]:
    """DDP's own averaging, timed. The model is one bucket, ready when backward is done, so nothing overlaps."""
    began = time.monotonic()
    tensor = bucket.buffer().div_(dist.get_world_size())
    dist.all_reduce(tensor)
    spent[0] += time.monotonic() - began
    future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    future.set_result(tensor)
    return future


def no_sync(model: nn.Module, wanted: bool) -> Any:
    return model.no_sync() if wanted and isinstance(model, DistributedDataParallel) else contextlib.nullcontext()


def finish(setting: Setting, rank: int, measured: Measured, recorder: Recorder, model: nn.Module) -> None:
    """A ring's all-reduce sends and receives 2 (n - 1) / n times the model in each rank: computed, not measured."""
    measured.end()
    measured.bytes_exchanged = round(measured.updates * 4 * (setting.ranks - 1) / setting.ranks * MODEL_BYTES)
    measured.save(setting, f"rank-{rank}")
    if rank == 0:
        recorder.keep(model)
        recorder.save(setting.path / "kept.npz")


if __name__ == "__main__":
    main()
