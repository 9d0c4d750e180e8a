"""The worker's parts: which batches there are, the flat model, the connection. The whole worker: tests/contract."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.training.schema import parse_schema
from runner.batches import Batches, Position
from runner.client import Client, ServerError
from runner.errors import StudentError
from runner.flat_model import FlatModel

CPU = torch.device("cpu")


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def test_every_row_comes_once_an_epoch_and_epochs_differ() -> None:
    batches = Batches(rows=10, size=4, epochs=2, max_steps=0, seed=1, shard=0)
    epochs = [np.concatenate([batches.rows_of(Position(epoch, step)) for step in range(3)]) for epoch in range(2)]
    assert [sorted(one) for one in epochs] == [list(range(10))] * 2
    assert list(epochs[0]) != list(epochs[1])
    other = Batches(rows=10, size=4, epochs=2, max_steps=0, seed=1, shard=1)
    assert list(other.rows_of(Position(0, 0))) != list(epochs[0][:4])


@pytest.mark.parametrize(("max_steps", "total"), [(0, 6), (4, 4), (100, 6)])
def test_gradients_are_of_one_epoch_and_end_where_they_must(max_steps: int, total: int) -> None:
    batches = Batches(rows=10, size=4, epochs=2, max_steps=max_steps, seed=1, shard=0)
    here, counts = Position(0, 0), []
    while not batches.is_last(here):
        counts.append(batches.round(here, 2))
        here = batches.after(here, counts[-1])
    assert sum(counts) == total and counts[:2] == [2, 1]


def test_a_batch_draws_the_same_numbers_whatever_came_before() -> None:
    batches = Batches(rows=10, size=4, epochs=2, max_steps=0, seed=1, shard=0)
    drawn = []
    for before in (0, 5):
        torch.rand(before)
        batches.seed_randomness(Position(1, 2))
        drawn.append((torch.rand(3).tolist(), np.random.rand()))
    batches.seed_randomness(Position(1, 1))
    assert drawn[0] == drawn[1] and drawn[0][0] != torch.rand(3).tolist()


def test_the_flat_gradient_is_the_mean_that_autograd_gives() -> None:
    flat, reference = FlatModel(make_model(), CPU), make_model()
    flat.model[2].p = reference[2].p = 0.0
    inputs = [torch.randn(8, 3) for _ in range(3)]
    flat.gradient.zero_()
    for one in inputs:
        flat.model(one).square().mean().backward()
        (reference(one).square().mean() / 3).backward()
    body = flat.give_gradient(3)
    schema = parse_schema(flat.schema_json(), 10_000)
    assert schema.sha256 == flat.schema_sha256 and schema.size_bytes == len(body)
    named = schema.named(schema.view(bytes(body)))
    for name, one in reference.named_parameters():
        np.testing.assert_allclose(named[name], one.grad.numpy(), rtol=1e-5, atol=1e-7)
    for name, buffer in reference.named_buffers():
        np.testing.assert_array_equal(named[name], buffer.numpy())


def test_what_comes_is_what_the_model_has() -> None:
    flat = FlatModel(make_model(), CPU)
    schema = parse_schema(flat.schema_json(), 10_000)
    trainable, buffers, counters = schema.sizes
    values = np.arange(trainable, dtype="<f4").tobytes() + np.full(buffers, 7, "<f4").tobytes()
    flat.received[:] = values + np.full(counters, 9, "<i8").tobytes()
    flat.take_parameters()
    state = flat.model.state_dict()
    assert state["0.weight"].flatten().tolist() == list(range(12)) and state["3.bias"].tolist()[-1] == trainable - 1
    assert state["1.running_var"].tolist() == [7.0] * 4 and int(state["1.num_batches_tracked"]) == 9


def test_frozen_parameters_are_not_trained_and_other_types_are_named() -> None:
    model = make_model()
    model[0].weight.requires_grad_(False)
    schema = {one["name"]: one for one in FlatModel(model, CPU).schema}
    assert not schema["0.weight"]["trainable"] and schema["0.bias"]["trainable"]
    with pytest.raises(StudentError, match=r"0\.weight is torch\.float64"):
        FlatModel(make_model().double(), CPU)
    for one in model.parameters():
        one.requires_grad_(False)
    with pytest.raises(StudentError, match="no parameter to train"):
        FlatModel(model, CPU)


class Moody(http.server.BaseHTTPRequestHandler):
    """Drops the first connection, is busy once, then answers as the test wants."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []
    answer: ClassVar[tuple[int, dict[str, Any]]] = (200, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Moody.seen.append(self.headers.get("Sequence", ""))
        if len(Moody.seen) == 1:
            self.close_connection = True
            return
        status, value = (503, {"reason": "busy"}) if len(Moody.seen) == 2 else Moody.answer
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.seen.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_push_is_sent_again_with_its_sequence_until_the_server_answers(moody: str) -> None:
    Moody.answer = (201, {"msg": "stored"})
    reply = Client(moody, "").push(b"gradient", {"Sequence": "7"}, memoryview(bytearray(8)), timeout_s=0)
    assert (reply.status, Moody.seen) == (201, ["7"] * 3)


def test_a_refusal_is_told_with_its_reason_and_not_sent_again(moody: str) -> None:
    Moody.answer = (409, {"msg": "the gradient holds NaN", "reason": "values"})
    with pytest.raises(ServerError, match="holds NaN") as refused:
        Client(moody, "").push(b"gradient", {"Sequence": "7"}, memoryview(bytearray(8)), timeout_s=0)
    assert (refused.value.status, refused.value.reason, len(Moody.seen)) == (409, "values", 3)
