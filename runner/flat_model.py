"""A model whose parameters and gradients are views of two flat buffers, which go over the wire as they are.

Layout of both, little-endian: trainable float32 arrays, other float32 arrays (frozen parameters, buffers such as a
BatchNorm's running values), int64 arrays (counters), each in the model's order.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from runner.errors import StudentError
from runner.model import named_arrays

DTYPES = {torch.float32: "float32", torch.int64: "int64"}


class FlatModel:
    """`received` is filled with parameters, `sent` with a gradient. Raises StudentError for arrays of other types."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = model.to(device).train()
        self.device = device
        entries = named_arrays(model)
        trained = {name for name, one in model.named_parameters() if one.requires_grad}
        self.schema = [describe(name, one, name in trained) for name, one in entries.items()]
        self.trainable = [one for name, one in entries.items() if name in trained]
        self.names = [name for name in entries if name not in trained]
        self.names.sort(key=lambda name: entries[name].dtype == torch.int64)
        self.length = sum(one.numel() for one in self.trainable)
        if not self.length:
            raise StudentError("the model has no parameter to train: every one has requires_grad = False")
        self.floats = self.length + sum(entries[one].numel() for one in self.names if entries[one].is_floating_point())
        others = sum(entries[name].numel() * entries[name].element_size() for name in self.names)
        self.received = bytearray(4 * self.length + others)
        self.sent = bytearray(4 * self.length + others)
        self.parameters = self.vector(self.received)
        self.gradient = self.vector(self.sent)
        self.adopt()

    def vector(self, buffer: bytearray) -> Tensor:
        """The trainable part of a buffer, as a tensor on it (cpu) or beside it (another device)."""
        flat = torch.frombuffer(buffer, dtype=torch.float32, count=self.length)
        return flat if self.device.type == "cpu" else flat.to(self.device)

    def adopt(self) -> None:
        """Moves the initial values into the flat vector and makes the model's tensors views of it."""
        at = 0
        for one in self.trainable:
            place = slice(at, at + one.numel())
            self.parameters[place].copy_(one.detach().reshape(-1))
            one.data = self.parameters[place].view(one.shape)
            one.grad = self.gradient[place].view(one.shape)
            at += one.numel()
        self.write_others(self.received)
        if self.device.type != "cpu":
            torch.frombuffer(self.received, dtype=torch.float32, count=self.length).copy_(self.parameters)

    def schema_json(self) -> bytes:
        return json.dumps(self.schema).encode()

    @property
    def schema_sha256(self) -> str:
        """As the server makes it: of the schema's JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.schema, sort_keys=True).encode()).hexdigest()

    def take_parameters(self) -> None:
        """Uses what has come into `received`."""
        if self.device.type != "cpu":
            self.parameters.copy_(torch.frombuffer(self.received, dtype=torch.float32, count=self.length))
        self.read_others(self.received)

    def read_others(self, buffer: bytearray) -> None:
        entries, at = named_arrays(self.model) if self.names else {}, 4 * self.length
        with torch.no_grad():
            for name in self.names:
                target = entries[name]
                dtype = np.dtype("<i8") if target.dtype == torch.int64 else np.dtype("<f4")
                values = np.frombuffer(buffer, dtype, target.numel(), at).copy()
                target.copy_(torch.from_numpy(values).view(target.shape))
                at += values.nbytes

    def give_gradient(self, batches: int) -> memoryview:
        """The mean gradient of `batches` batches and the buffers as they are now, as bytes to send."""
        if batches > 1:
            self.gradient.mul_(1 / batches)
        self.write_others(self.sent)
        return self.give_trainable()

    def give_trainable(self) -> memoryview:
        """The gradient as it is now, with the buffers as they were last written to `sent`."""
        if self.device.type != "cpu":
            torch.frombuffer(self.sent, dtype=torch.float32, count=self.length).copy_(self.gradient)
        return memoryview(self.sent)

    def give_parameters(self) -> None:
        """The parameters and buffers as they are now, into `sent`."""
        torch.frombuffer(self.sent, dtype=torch.float32, count=self.length).copy_(self.parameters)
        self.write_others(self.sent)

    def take_sent(self, into: Tensor) -> None:
        """Uses what is in `sent` now: its trainable part goes to `into`, the buffers into the model."""
        into.copy_(torch.frombuffer(self.sent, dtype=torch.float32, count=self.length))
        self.read_others(self.sent)

    @property
    def sent_floats(self) -> NDArray[np.float32]:
        """All of `sent` that can be averaged: counters, which lie at its end, stay each worker's own."""
        return np.frombuffer(self.sent, "<f4", self.floats)

    def keep(self) -> memoryview:
        """The whole state in `received`, which `take_parameters` brings back."""
        if self.device.type != "cpu":
            torch.frombuffer(self.received, dtype=torch.float32, count=self.length).copy_(self.parameters)
        self.write_others(self.received)
        return memoryview(self.received)

    def write_others(self, buffer: bytearray) -> None:
        entries, at = named_arrays(self.model) if self.names else {}, 4 * self.length
        for name in self.names:
            content = entries[name].detach().cpu().numpy().tobytes()
            buffer[at : at + len(content)] = content
            at += len(content)


def describe(name: str, array: Tensor, trainable: bool) -> dict[str, Any]:
    dtype = DTYPES.get(array.dtype)
    if dtype is None or (trainable and dtype != "float32"):
        raise StudentError(f"the model's {name} is {array.dtype}; parameters are float32, buffers float32 or int64")
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "trainable": trainable}
