"""The commands of docs/by-hand.md, as a student with the course's notes types them."""

from __future__ import annotations

import json
import math
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
import torch
from frame.processes import Processes
from support import by_hand

from pipeline.embedded.client import attach
from pipeline.embedded.settings import EmbeddedSettings

BINARY = "application/octet-stream"
HELLO = """
def main(params):
    print("asked by", params["name"])
    return {"greeting": "hello " + params["name"]}
"""


def train(worker: str, **changed: Any) -> dict[str, Any]:
    """The six parameters of the course, without an id."""
    six = {"batch_sz_train": 32, "epoch_n": 2, "update_intv": 2, "device": "cpu"} | changed
    answer = by_hand.curl_d(f"{worker}/run", json.dumps({"value": six}))
    assert answer.status_code == 200
    value: dict[str, Any] = answer.json()
    return value


def test_two_workers_with_the_same_id_finish(processes: Processes, tmp_path: Path) -> None:
    for form in ([], ["--tar"]):
        cut = by_hand.run("data", "split", "--shards", "2", "--rows", "2000", *form, "--out", tmp_path)
        assert cut.returncode == 0, cut.stderr
    files = by_hand.file_server(processes, tmp_path)
    server = by_hand.parameter_server(processes, "--batch-sz", "4", "--lr", "0.03", "--open")
    workers = [by_hand.runner(processes), by_hand.runner(processes)]
    names = ["dataset_dl_0.tar.gz", "shard_1.safetensors"]
    with ThreadPoolExecutor() as both:
        asked = [
            both.submit(train, worker, apihost=server, dataset_url=f"{files}/{name}")
            for worker, name in zip(workers, names, strict=True)
        ]
        answers = [one.result() for one in asked]
    for answer in answers:
        assert answer["code"] == 200 and math.isfinite(answer["avg_loss"]), answer
        assert answer["samples"] == 2 * 1000
    assert {answer["shard"] for answer in answers} == {0, 1}
    # 2 workers, 2 epochs of 32 batches, a gradient of 2 batches, an update of 4 gradients
    version = requests.get(f"{server}/getVersion", timeout=60).json()
    assert (version["code"], version["version"]) == (200, 16)
    assert requests.get(f"{server}/getAccuracy", timeout=60).json()["accuracy"] is None

    again = train(workers[0], apihost=server, dataset_url=f"{files}/{names[0]}", epoch_n=1)
    assert (again["code"], again["samples"]) == (200, 1000), "a server that goes on serves the next training"


def test_what_is_missing_or_wrong_is_named(processes: Processes) -> None:
    worker = by_hand.runner(processes)
    nothing = {"apihost": f"http://127.0.0.1:{by_hand.free_port()}", "dataset_url": "http://127.0.0.1:9/shard"}
    missing = by_hand.curl_d(f"{worker}/run", '{"value": {"batch_sz_train": 32}}').json()
    assert missing["code"] == 500 and missing["error"].startswith("No argument: epoch_n, update_intv, dataset_url,")
    wrong = train(worker, **nothing | {"batch_sz_train": "x", "update_intv": 0, "dataset_url": "shard"})
    assert wrong["error"].startswith("Wrong parameters: ")
    assert all(name in wrong["error"] for name in ("batch_sz_train", "update_intv", "dataset_url"))
    if not torch.cuda.is_available():
        cuda = train(worker, **nothing, device="cuda")
        assert cuda["error"].startswith("device cuda: ") and "use `cpu`" in cuda["error"]
    assert by_hand.curl_d(f"{worker}/run", "{").status_code == 400
    assert "POST /run" in requests.get(f"{worker}/run", timeout=60).json()["error"]


def test_routes_answer_by_the_table_of_the_notes(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-course\n")
    server = by_hand.parameter_server(processes, "--batch-sz", "2", "--token-file", str(tmp_path / "token"))
    token = {"Authorization": "Bearer of-the-course"}

    def post(route: str, data: str) -> int:
        answer = by_hand.curl_d(f"{server}/{route}", data, **token)
        assert answer.json()["code"] == answer.status_code
        return answer.status_code

    assert by_hand.curl_d(f"{server}/registerWorker", '{"id": "0"}').status_code == 403
    registered = by_hand.curl_d(f"{server}/registerWorker", '{"id": 0, "description": "first"}', **token)
    assert registered.status_code == 200
    assert [post("registerWorker", '{"description": "no id"}'), post("registerWorker", '{"id": 0}')] == [400, 409]
    me = token | {"Worker-Id": "0", "Worker-Session": registered.json()["session"]}
    schema = '[{"name": "w", "dtype": "float32", "shape": [2], "trainable": true}]'
    raw = {"Content-Type": BINARY}
    values = requests.post(
        f"{server}/putParameters", schema + 8 * "\0", headers=me | raw | {"Schema-Bytes": str(len(schema))}, timeout=60
    )
    assert values.status_code == 200, values.text

    def put(body: str, **headers: str) -> int:
        return requests.post(f"{server}/putGradient", body, headers=me | raw | headers, timeout=60).status_code

    assert [put(8 * "\0"), put(8 * "\0")] == [201, 200]
    assert [put("{}", **{"Content-Type": "application/json"}), put("abc")] == [400, 409]
    assert requests.get(f"{server}/getVersion", headers=token, timeout=60).json()["version"] == 1
    parameters = requests.get(f"{server}/getParameter", headers=token, timeout=60)
    assert (parameters.status_code, parameters.headers["Content-Type"]) == (200, BINARY)
    assert len(parameters.content) == 8
    leave = json.dumps({"id": 0, "session": registered.json()["session"]})
    left = [post("unregisterWorker", leave), post("unregisterWorker", leave), post("unregisterWorker", "{}")]
    assert left == [200, 409, 400]


def test_a_code_action_with_its_logs_and_result(processes: Processes, tmp_path: Path) -> None:
    process, ready = by_hand.serve(processes, tmp_path)
    access = by_hand.read(ready)["openwhisk"]
    api, key = f"{access['apihost']}/api/v1/namespaces/_", tuple(access["auth"].split(":"))

    def get(path: str) -> Any:
        return requests.get(f"{api}/{path}", auth=key, timeout=60).json()

    action = {"exec": {"kind": "python:3", "code": HELLO}}
    made = requests.put(f"{api}/actions/hello", json=action, auth=key, timeout=60)
    assert made.status_code == 200, made.text
    assert [one["name"] for one in get("actions")] == ["hello"]
    invoked = requests.post(
        f"{api}/actions/hello?blocking=true", json={"name": "Ada"}, auth=key, timeout=by_hand.PATIENCE_S
    )
    assert invoked.status_code == 200, invoked.text
    number = invoked.json()["activationId"]
    assert get(f"activations/{number}")["response"]["status"] == "success"
    assert get(f"activations/{number}/result")["result"] == {"greeting": "hello Ada"}
    assert [line.split(" ", 1)[1] for line in get(f"activations/{number}/logs")["logs"]] == ["stdout: asked by Ada"]
    process.send_signal(signal.SIGINT)
    assert process.wait(by_hand.PATIENCE_S) == 0


def test_a_killed_serve_leaves_servers_that_end_by_themselves(processes: Processes, tmp_path: Path) -> None:
    process, ready = by_hand.serve(processes, tmp_path)
    process.kill()
    process.wait()
    orphans = attach(tmp_path / "state" / "ready.json")
    assert orphans is not None
    try:
        settings = EmbeddedSettings.model_validate_json((tmp_path / "state" / "settings.json").read_bytes())
        assert 0 < settings.idle_s <= 60
        refused = by_hand.run("serve", "--state", tmp_path / "state")
        assert refused.returncode == 2 and "within a minute" in refused.stderr
    finally:
        orphans.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        failed = by_hand.run("serve", "--state", tmp_path / "other", "--port", port, "--ready-file", ready)
    assert failed.returncode == 3, failed.stderr
    assert not ready.exists(), "whoever waits for it would read keys and addresses of servers that are gone"
