"""Submissions that lie, leak, flood or break the protocol: whose fault it is, and what students get to see."""

from __future__ import annotations

import ast
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.hostile import LINEAR, readable_by_students, submit_model

MARKER = "HIDDEN-7c1f"

NOT_A_NUMBER = """
import math, struct
from runner.worker import Worker
from torch import nn

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

honest = Worker.body
def body(self):
    sent = bytearray(honest(self))
    sent[:4] = struct.pack("<f", math.nan)
    return memoryview(sent)
Worker.body = body
"""

REGISTERS_ONLY = """
from runner.worker import Worker
from torch import nn

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def train(self):
    self.register()
    return {"code": 200, "avg_loss": 0.0}
Worker.train = train
"""

ANOTHER_MODEL_EACH_TIME = """
import time
from torch import nn

def build_model():
    width = 10 + time.time_ns() % 1000
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))
"""

NO_PARAMETERS = """
from torch import nn

def build_model():
    return nn.Flatten()
"""

TERMINAL_ESCAPES = r"""
def build_model():
    raise RuntimeError("\x1b]0;owned\x07\x1b[2J\x1b[31mPASSED 100/100\x9b8m \u202eevil")
"""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(NOT_A_NUMBER, "finite", id="a gradient that is not a number"),
        pytest.param(REGISTERS_ONLY, "without having finished its shard", id="a worker that registers and stops"),
        pytest.param(ANOTHER_MODEL_EACH_TIME, "not those that this run was started with", id="another model each time"),
        pytest.param(NO_PARAMETERS, "no parameters", id="a model without parameters"),
        pytest.param(TERMINAL_ESCAPES, "PASSED 100/100", id="terminal escapes in an error"),
    ],
)
def test_it_is_the_students_failure_with_its_reason(model: str, reason: str, tmp_path: Path) -> None:
    done = submit_model(tmp_path, model)

    assert done.code == 10, done.output
    assert done.result["outcome"] == "failed"
    assert reason in done.output
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.output) is None


def test_a_model_with_running_statistics_trains_and_is_graded(tmp_path: Path) -> None:
    batch_norm = LINEAR.replace(
        "nn.Flatten(), nn.Linear(784, 10)", "nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10)"
    )

    done = submit_model(tmp_path, batch_norm)

    assert done.code == 0, done.output
    assert done.result["metrics"]["accuracy"] > done.result["metrics"]["accuracy_initial"]


PRINTS_ITS_TOKEN_AND_FLOODS = """
import gc, sys
from torch import nn

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

said = False
def augment(images):
    global said
    if not said:
        said = True
        from runner.parameters import TrainParameters
        for one in gc.get_objects():
            if isinstance(one, TrainParameters):
                print("my token is", one.token, "and my shard is at", one.dataset_url)
        for _ in range(20):
            print("x" * 2**20)
    return images
"""


def test_a_printed_token_is_masked_and_a_flood_is_cut(tmp_path: Path) -> None:
    done = submit_model(tmp_path, PRINTS_ITS_TOKEN_AND_FLOODS)

    assert done.code == 0, done.output
    log = (done.folder / "logs" / "worker-0.log").read_text()
    assert "my token is [masked]" in log
    assert "X-Amz-Signature=[masked]" in log
    assert len(log) < 3 * 2**20
    assert "bytes dropped" in log
    execution = json.loads((done.folder / "private" / "execution.json").read_text())
    for worker in execution["workers"]:
        assert worker["token"] not in log


SPIES = f"""
import gc, http.client, os, sys
from urllib.parse import urlsplit
from torch import nn

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def ask(method, url, body=None):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body)
        response = connection.getresponse()
        response.read(4096)
        return response.status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()

def predict(model, images):
    from runner.parameters import PredictParameters
    mine = next(one for one in gc.get_objects() if isinstance(one, PredictParameters))
    job = mine.jobs[0]
    bucket = job.answer_url.split("/predict/")[0]
    swapped = lambda text, one, two: text.replace(one, "?").replace(two, one).replace("?", two)
    path, _, query = job.answer_url.partition("?")
    other = swapped(path, "initial", "final") + "?" + query
    path, _, query = mine.inputs_url.partition("?")
    rows = swapped(path, "hidden", "validation") + "?" + query
    tries = {{
        "own inputs": ask("GET", mine.inputs_url),
        "other rows": ask("GET", rows),
        "the other's answer": ask("GET", other),
        "over the other's answer": ask("PUT", other, b"mine"),
        "over the inputs": ask("PUT", mine.inputs_url, b"mine"),
        "over the parameters": ask("PUT", job.parameters_url, b"mine"),
        "own answer back": ask("GET", job.answer_url),
        "the bucket's list": ask("GET", bucket),
        "by a way round": ask("GET", bucket + "/predict/../training/"),
        "parameter server": ask("GET", "http://127.0.0.1:29500/getVersion"),
        "openwhisk": ask("GET", "http://127.0.0.1:3233/api/v1"),
        "the internet": ask("GET", "http://1.1.1.1/"),
        "left by another": os.path.exists("/tmp/left"),
    }}
    open("/tmp/left", "w").close()
    said = "{MARKER} " + repr(sorted(tries.items()))
    print(said)
    print(said, file=sys.stderr)
    os.write(1, said.encode() + bytes([10]))
    raise ValueError(said)
"""
ALLOWED = {"own inputs": 200, "left by another": False}


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A submission that tries every door while it predicts, and cries out what it found by every way there is."""
    done = submit_model(tmp_path_factory.mktemp("spy"), SPIES, validation_rows=100)
    assert done.code == 10, done.output
    return done.folder, done.output


def test_a_prediction_reaches_its_own_objects_only_and_meets_nobodys_leavings(spied: tuple[Path, str]) -> None:
    logs = sorted((spied[0] / "private" / "logs").glob("predict-*.log"))
    assert len(logs) == 3
    for log in logs:
        tries = dict(ast.literal_eval(re.findall(rf"{MARKER} (\[.*?\])\n", log.read_text())[0]))
        assert len(tries) == 13
        for name, answer in tries.items():
            refused = isinstance(answer, str) or answer >= 400
            assert answer == ALLOWED[name] if name in ALLOWED else refused, (log.name, name, answer)


def test_nothing_that_a_prediction_says_reaches_a_student(spied: tuple[Path, str]) -> None:
    folder, output = spied
    files = readable_by_students(folder)
    assert len(files) > 8
    assert MARKER not in output
    for path in files:
        assert MARKER.encode() not in path.read_bytes(), path


ANSWERS_WITH_GIGABYTES = (
    LINEAR
    + """
import http.client, gc
from urllib.parse import urlsplit

def put(url, size):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest("PUT", parts.path + "?" + parts.query)
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    block = bytes(2**20)
    for _ in range(size // len(block)):
        connection.send(block)
    connection.getresponse().read()

def predict(model, images):
    from runner.parameters import PredictParameters
    mine = next(one for one in gc.get_objects() if isinstance(one, PredictParameters))
    for size in (5 * 2**30, 7 * 2**20):
        try:
            put(mine.jobs[0].answer_url, size)
        except OSError:
            pass
    import os
    os._exit(0)
"""
)


def test_a_giant_answer_is_not_kept_and_is_the_students_failure(tmp_path: Path) -> None:
    with largest(tmp_path / "run" / "private" / "servers" / "store", "answer-*") as sizes:
        done = submit_model(tmp_path, ANSWERS_WITH_GIGABYTES)

    assert done.code == 10, done.output
    assert done.result["metrics"]["accuracy"] is None
    assert sizes
    assert max(sizes.values()) < 8 * 2**20


@contextmanager
def largest(folder: Path, names: str) -> Iterator[dict[Path, int]]:
    """The largest that each file below `folder` was seen to be; the store goes when the run is over."""
    sizes: dict[Path, int] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            with suppress(FileNotFoundError):  # files and folders may go while we look
                for path in folder.rglob(names):
                    sizes[path] = max(sizes.get(path, 0), path.stat().st_size)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield sizes
    finally:
        over.set()
        watcher.join()
