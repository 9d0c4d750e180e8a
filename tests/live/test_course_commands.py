"""The commands of the course's notes with `pipeline serve`: a run's image, the six parameters, logs and results."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from frame.processes import Processes
from support import by_hand
from support.pushed_runs import pushed_run
from support.real_servers import course_file
from support.runs import EXAMPLES, pipeline
from support.wsk import Wsk

from pipeline.settings import Sandbox

HELLO = """
def main(params):
    print("asked by", params["name"])
    return {"greeting": "hello " + params["name"]}
"""


@dataclass(frozen=True)
class Built:
    """What stages up to `push` have left, and the options of `pipeline serve` that go with it."""

    reference: str
    options: tuple[str, ...]


@pytest.fixture
def built(sandbox: str, request: pytest.FixtureRequest, tmp_path: Path) -> Built:
    registry = request.getfixturevalue("registry") if sandbox == "docker" else None
    course = course_file(tmp_path, registry)
    run = pushed_run(tmp_path / "run", EXAMPLES / "mnist_train", course, Sandbox(sandbox))
    assert run.record.image is not None
    return Built(run.record.image.reference, ("--image", str(run.folder)))


def test_the_pushed_image_trains_once_for_each_worker(
    built: Built, sandbox: str, processes: Processes, tmp_path: Path
) -> None:
    cut = by_hand.run("data", "split", "--shards", "2", "--rows", "2000", "--tar", "--out", tmp_path / "shards")
    assert cut.returncode == 0, cut.stderr
    files = by_hand.file_server(processes, tmp_path / "shards").removeprefix("http://")
    server = by_hand.parameter_server(processes, "--batch-sz", "4", "--lr", "0.03", "--open").removeprefix("http://")
    reach = ("--reach", server, "--reach", files)
    process, ready = by_hand.serve(processes, tmp_path, "--sandbox", sandbox, *built.options, *reach)
    told = by_hand.read(ready)
    wsk = Wsk(**told["openwhisk"])

    created = wsk.create_docker("dist-train", built.reference, web=True, timeout=300_000)
    assert (created["limits"]["timeout"], created["limits"]["memory"]) == (300_000, 256)
    assert wsk.actions() == ["dist-train"]
    six = {"batch_sz_train": 32, "epoch_n": 2, "apihost": f"http://{told['inside'][server]}", "update_intv": 2}
    data = f"http://{told['inside'][files]}"
    asked = [
        wsk.invoke("dist-train", **six, dataset_url=f"{data}/dataset_dl_{number}.tar.gz", device="cpu")
        for number in (0, 1)
    ]

    for number in asked:
        answer = wsk.activation(number)["response"]
        assert answer["success"], answer
        assert answer["result"]["code"] == 200 and math.isfinite(answer["result"]["avg_loss"])
        assert answer["result"]["samples"] == 2 * 1000
        assert wsk.activation(number, "result")["result"] == answer["result"]
        logs = wsk.activation(number, "logs")["logs"]
        assert any("stdout: Worker" in line and "Training elapsed time" in line for line in logs), logs
    assert sorted(wsk.activations()) == sorted(asked)
    process.send_signal(signal.SIGINT)
    assert process.wait(by_hand.PATIENCE_S) == 0


def test_code_actions(sandbox: str, processes: Processes, tmp_path: Path) -> None:
    """`wsk action create hello hello.py`; a file of JavaScript is refused in words."""
    process, ready = by_hand.serve(processes, tmp_path, "--sandbox", sandbox)
    wsk = Wsk(**by_hand.read(ready)["openwhisk"])
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "test.js").write_text("function main() { return {} }\n")

    wsk.create_file("hello", tmp_path / "hello.py")
    assert wsk.result_of("hello", name="Ada") == {"greeting": "hello Ada"}
    number = wsk.invoke("hello", name="Bo")
    assert wsk.activation(number)["response"]["result"] == {"greeting": "hello Bo"}
    assert [line.split(" ", 1)[1] for line in wsk.activation(number, "logs")["logs"]] == ["stdout: asked by Bo"]
    with pytest.raises(AssertionError, match="'nodejs:default' is not supported"):
        wsk.create_file("js", tmp_path / "test.js")
    process.send_signal(signal.SIGINT)
    assert process.wait(by_hand.PATIENCE_S) == 0


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert pipeline("stage", "fetch", EXAMPLES / "mnist_train", "--out", run, out=run).code == 0
    refused = by_hand.run("serve", "--state", tmp_path / "state", "--image", run)
    assert refused.returncode == 2 and "has no image" in refused.stderr
