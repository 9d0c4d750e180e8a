"""The course's older protocol with right arithmetic: the version polled at every batch, pickled dicts, a connection a
call, Flask's development server. `python -m benchmarks.older server SETTING PORT | SETTING RANK PORT`.

It unpickles what it is sent, as the course's did: never beyond this benchmark.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import threading
import time
from typing import Any

import requests
import torch
from flask import Flask, Response, request
from torch import Tensor, nn

from benchmarks.setting import Measured, Recorder, Setting, load_rank, start_rank, wait_for_go
from runner.batches import Position
from runner.model import load_student_model


class OlderServer:
    """Averages `ranks` gradients an update, whoever they are from."""

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(1)
        self.setting = setting
        self.model = load_student_model().build(setting.seed)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=setting.learning_rate, momentum=setting.momentum)
        self.optimiser.zero_grad(set_to_none=False)
        for one in self.model.parameters():
            one.grad = torch.zeros_like(one)
        self.version = self.waiting = 0
        self.lock = threading.Lock()
        self.recorder = Recorder(setting)
        self.measured = Measured()

    def app(self) -> Flask:
        app = Flask("older")
        app.add_url_rule("/getVersion", view_func=lambda: {"code": 200, "version": self.version}, endpoint="version")
        app.add_url_rule("/getParameter", view_func=self.parameters)
        app.add_url_rule("/putGradient", view_func=self.push, methods=["POST"])
        app.add_url_rule("/begin", view_func=self.begin, methods=["POST"])
        app.add_url_rule("/end", view_func=self.end, methods=["POST"])
        return app

    def parameters(self) -> Response:
        with self.lock:
            content = pickle.dumps(self.model.state_dict())
            self.measured.bytes_exchanged += len(content)
        return Response(content, mimetype="application/octet-stream")

    def push(self) -> tuple[dict[str, Any], int]:
        content = request.get_data()
        gradients: dict[str, Tensor] = pickle.loads(content)["gradients"]
        with self.lock:
            self.measured.bytes_exchanged += len(content)
            for name, one in self.model.named_parameters():
                assert one.grad is not None
                one.grad += gradients[name] / self.setting.ranks
            self.waiting += 1
            if self.waiting < self.setting.ranks:
                return {"code": 201, "msg": "stored"}, 201
            self.update()
        return {"code": 200, "msg": "updated"}, 200

    def update(self) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=False)
        self.waiting, self.version = 0, self.version + 1
        self.measured.updates += 1
        self.recorder.updated(self.model)

    def begin(self) -> dict[str, Any]:
        self.measured = Measured()
        return {}

    def end(self) -> dict[str, Any]:
        self.measured.end()
        self.measured.save(self.setting, "server")
        self.recorder.keep(self.model)
        self.recorder.save(self.setting.path / "kept.npz")
        return {}


class OlderClient:
    """A new connection for every call."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.version = -1

    def refresh(self) -> dict[str, Tensor] | None:
        """The parameters when there are newer ones: asked for at every batch."""
        version = requests.get(f"{self.base}/getVersion", timeout=60).json()["version"]
        if version == self.version:
            return None
        self.version = version
        parameters: dict[str, Tensor] = pickle.loads(requests.get(f"{self.base}/getParameter", timeout=60).content)
        return parameters

    def push(self, gradients: dict[str, Tensor]) -> int:
        content = pickle.dumps({"id": 0, "gradients": gradients})
        headers = {"Content-Type": "application/octet-stream"}
        return requests.post(f"{self.base}/putGradient", data=content, headers=headers, timeout=60).status_code


def work() -> None:
    setting, rank = start_rank()
    client = OlderClient(int(sys.argv[3]))
    rows, model, batches = load_rank(setting, rank)
    wait_for_go(setting, rank)
    measured, here = Measured(), Position(0, 0)
    while not batches.is_last(here):
        count = batches.round(here, setting.accumulate)
        model.zero_grad()
        for number in range(count):
            measured.communication_s += timed(lambda: refresh(client, model))
            images, labels = rows.batch(batches.rows_of(batches.after(here, number)))
            (nn.functional.cross_entropy(model(images), labels) / count).backward()  # type: ignore[no-untyped-call]
            measured.samples += len(labels)
        gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
        measured.communication_s += timed(lambda sent=gradients: client.push(sent))
        here = batches.after(here, count)
    measured.end()
    measured.save(setting, f"rank-{rank}")


def refresh(client: OlderClient, model: nn.Module) -> None:
    if (newer := client.refresh()) is not None:
        model.load_state_dict(newer)


def timed(act: Any) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def serve() -> None:
    logging.basicConfig(level=logging.INFO, filename=os.devnull)  # a line a request, as it comes
    server = OlderServer(Setting(**json.loads(sys.argv[2])))
    server.app().run("127.0.0.1", int(sys.argv[3]), threaded=True)


if __name__ == "__main__":
    serve() if sys.argv[1] == "server" else work()
