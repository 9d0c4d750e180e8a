"""A server's whole state as a checkpoint, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import InfrastructureError
from pipeline.training.checkpoints import Checkpoint, CheckpointStore, last_checkpoint
from pipeline.training.model_state import ModelState, new_model
from pipeline.training.optimisers import restore
from pipeline.training.shard_progress import Shard

if TYPE_CHECKING:
    from pipeline.training.core import ParameterServer


def take(server: ParameterServer, model: ModelState) -> Checkpoint:
    """A consistent copy: what is applied, not what still waits. The caller holds the server's lock."""
    return Checkpoint(
        version=server.version,
        schema=model.schema,
        values=model.values.copy(),
        optimiser=server.settings.optimiser,
        optimiser_steps=model.optimiser.steps,
        optimiser_vectors={name: one.copy() for name, one in model.optimiser.vectors().items()},
        shards=[shard.to_json() for shard in server.members.ordered()],
        history=server.history.to_array(),
        more={"elapsed_s": server.elapsed, "score": server.score},
    )


def resume(server: ParameterServer, store: CheckpointStore) -> None:
    """Goes on where the newest checkpoint stands. Raises InfrastructureError where it does not fit the run."""
    last = last_checkpoint(store)
    if last is None:
        return
    try:
        if last.optimiser != server.settings.optimiser:
            raise ValueError(f"it is of {last.optimiser}, not of {server.settings.optimiser}")
        model = new_model(server.settings, last.schema, last.values.copy())
        restore(model.optimiser, last.optimiser_steps, last.optimiser_vectors)
        shards = [Shard.from_json(one) for one in last.shards]
        score, elapsed = last.more["score"], float(last.more["elapsed_s"])
    except (KeyError, ValueError, TypeError) as error:
        raise InfrastructureError(
            f"the checkpoint of version {last.version} does not fit this run: {error}", hint="start the run anew"
        ) from error
    server.model, server.version = model, last.version
    server.members.shards |= {shard.number: shard for shard in shards}
    server.history.restore(last.history)
    server.score = (float(score[0]), int(score[1])) if score else None
    server.elapsed_before = elapsed
    server.writer.durable_version = last.version
