"""Optimisers against torch's, checkpoints, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import CourseError, InfrastructureError
from pipeline.training.checkpoints import SLOTS, FolderStore, last_checkpoint
from pipeline.training.core import ParameterServer
from pipeline.training.history import MAX_ENTRIES, LossHistory
from pipeline.training.optimisers import make_optimiser
from pipeline.training.schema import parse_schema
from pipeline.training.server_settings import ServerSettings, by_hand_settings

SCHEMA = parse_schema('[{"name":"w","dtype":"float32","shape":[3],"trainable":true}]', 1000)


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0)])
def test_optimisers_step_as_torch_s_do(name: str, momentum: float) -> None:
    draw = np.random.default_rng(1)
    ours = draw.normal(size=1000).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(ours.copy()))
    optimiser = make_optimiser(name, 1000, 0.01, momentum)
    reference: Any = torch.optim.SGD([theirs], lr=0.01, momentum=momentum) if name == "sgd" else None
    reference = reference or torch.optim.Adam([theirs], lr=0.01)
    for _ in range(20):
        gradient = draw.normal(size=1000).astype(np.float32)
        theirs.grad = torch.from_numpy(gradient.copy())
        reference.step()
        optimiser.step(ours, gradient.copy())
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=2e-6)


def server(store: FolderStore, **settings: Any) -> ParameterServer:
    return ParameterServer(ServerSettings.model_validate({"host": "127.0.0.1", "open": True} | settings), store)


def test_a_damaged_checkpoint_is_passed_over_and_two_are_named(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = server(store)
    first.upload(SCHEMA, bytes(12))
    first.version = 1
    first.close()
    newest = tmp_path / SLOTS[1]
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    assert server(store).version == 0
    (tmp_path / SLOTS[0]).write_bytes(b"cut off")
    with pytest.raises(InfrastructureError, match=r"checkpoint-a.*checkpoint-b"):
        server(store)


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    server(store).upload(SCHEMA, bytes(12))
    with pytest.raises(InfrastructureError, match="sgd"):
        server(store, optimiser="adam")


def test_scored_versions_and_the_initial_values_are_kept(tmp_path: Path) -> None:
    training = server(FolderStore(tmp_path), scored_versions=[1], checkpoint_updates=10)
    training.upload(SCHEMA, bytes(12))
    training.version = 1
    training.writer.begin(training.snapshot())
    training.writer.wait()
    training.finish()
    names = {one.name for one in tmp_path.iterdir()}
    assert {"initial.safetensors", "final.safetensors", "version-00000001.safetensors"} <= names
    assert last_checkpoint(FolderStore(tmp_path)) is not None


def test_a_store_that_fails_stops_no_training(tmp_path: Path) -> None:
    training = server(FolderStore(tmp_path / "here"), checkpoint_updates=1)
    training.upload(SCHEMA, bytes(12))
    training.writer.store = FolderStore(Path("/dev/null/nowhere"))
    training.version = 2
    training.writer.begin(training.snapshot())
    training.writer.wait()
    assert "version 2" in training.writer.error


def test_the_loss_history_is_bounded_and_keeps_the_newest() -> None:
    history = LossHistory()
    for version in range(1, MAX_ENTRIES + 101):
        history.add(version, 1.0, 1, 0.0)
    versions = [entry[0] for entry in history.since(0)]
    assert len(versions) < MAX_ENTRIES and versions[-1] == MAX_ENTRIES + 100 and versions == sorted(versions)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"servers": 2}, "only one is supported yet"),
        ({"open_": True, "master_addr": "0.0.0.0"}, "loopback only"),
        ({"open_": False}, "no worker may register"),
        ({"open_": True, "learning_rat": 1}, "learning_rat"),
        ({"open_": True, "certificate": "c.pem"}, "private key"),
    ],
)
def test_what_cannot_be_started_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(CourseError) as refused:
        by_hand_settings(**settings)
    assert named in " ".join(str(fault) for fault in refused.value.faults)
