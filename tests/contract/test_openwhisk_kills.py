"""A server that is killed at any moment, under load: each activation that it accepted has exactly one record."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from frame.processes import Processes
from support.openwhisk import Server

ROUNDS = 4
CLIENTS = 6


class Client:
    """Invokes until nobody answers any more; what it was told."""

    def __init__(self, server: Server, number: int) -> None:
        self.server, self.random = server, random.Random(number)
        self.started: list[str] = []
        self.ended: dict[str, object] = {}

    def run(self) -> None:
        for number in range(1000):
            body = {"n": number, "lines": 2, **({"do": "exit"} if number % 10 == 9 else {})}
            try:
                self.call(body, blocking=self.random.random() < 0.5)
            except requests.RequestException:
                return

    def call(self, body: dict[str, object], *, blocking: bool) -> None:
        if not blocking:
            self.started.append(self.server.start(body))
            return
        record = self.server.call(body).json()
        self.started.append(record["activationId"])
        self.ended[record["activationId"]] = record["response"]


@pytest.mark.slow
def test_no_activation_is_lost_or_there_twice(tmp_path: Path, processes: Processes) -> None:
    moments = random.Random(5)
    started: list[str] = []
    ended: dict[str, object] = {}
    for _ in range(ROUNDS):
        server = Server(processes, tmp_path, pool_mb=512, concurrent_invocations=500, keep={"files": 100})
        server.put(limits={"memory": 128})
        clients = [Client(server, number) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            threading.Timer(moments.uniform(0.3, 2.5), server.process.kill).start()
            list(pool.map(Client.run, clients))
        server.process.wait()
        started += [one for client in clients for one in client.started]
        ended.update(pair for client in clients for pair in client.ended.items())
    server = Server(processes, tmp_path, keep={"files": 100})
    assert len(started) > ROUNDS * CLIENTS
    assert len(set(started)) == len(started)
    for activation in started:
        response = server.record(activation, within_s=10)["response"]
        assert response == ended.get(activation, response)
    listed = [one["activationId"] for one in server.ask("GET", "activations?limit=0").json()]
    assert set(started) <= set(listed)
    assert max(Counter(listed).values()) == 1
    lines = b"".join(one.read_bytes() for one in (tmp_path / "activations").iterdir()).splitlines()
    assert sum(b',"accepted":' in one for one in lines) == sum(b',"finished":' in one for one in lines) == len(listed)
    server.stop()
