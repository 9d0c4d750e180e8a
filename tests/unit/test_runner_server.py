"""`python -m runner` as OpenWhisk sees it: the exchange over its socket, and the two streams."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Container:
    """One runner on a Unix socket that it inherits, as the process sandbox starts it."""

    def __init__(self, folder: Path, code: Path, **variables: str) -> None:
        self.socket = folder / "action.sock"
        self.streams = (folder / "stdout", folder / "stderr")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket))
        listener.listen(16)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "RUNNER_CODE": str(code)}
        with self.streams[0].open("wb") as out, self.streams[1].open("wb") as err, listener:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runner"],
                cwd=code,
                env=environment | {"PYTHONSAFEPATH": "1", "RUNNER_LISTEN_FD": str(listener.fileno())} | variables,
                pass_fds=(listener.fileno(),),
                stdout=out,
                stderr=err,
            )

    def post(self, path: str, message: Any) -> tuple[int, Any]:
        connection = Connection(self.socket)
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        connection.request("POST", path, body)
        response = connection.getresponse()
        assert response.getheader("Transfer-Encoding") is None
        content = response.read()
        assert response.getheader("Content-Length") == str(len(content))
        connection.close()
        return response.status, json.loads(content)

    def run(self, **params: Any) -> tuple[int, Any]:
        return self.post("/run", {"value": params})

    def init(self, code: str, *, binary: bool = False, **more: Any) -> tuple[int, Any]:
        return self.post("/init", {"value": {"name": "f", "main": "main", "binary": binary, "code": code} | more})

    def logs(self) -> tuple[str, str]:
        return self.streams[0].read_text(), self.streams[1].read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


Start = Callable[..., Container]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Container] = []

    def make(files: dict[str, str] | None = None, **variables: str) -> Container:
        folder = tmp_path / str(len(started))
        (folder / "code").mkdir(parents=True)
        for name, text in (files or {}).items():
            (folder / "code" / name).write_text(text)
        started.append(Container(folder, folder / "code", **variables))
        return started[-1]

    yield make
    for one in started:
        one.end()


def test_a_function_given_as_text_prints_and_answers(start: Start) -> None:
    container = start()
    code = (
        "import os, sys\n"
        "def main(params):\n"
        "    print('to stdout')\n"
        "    print('to stderr', file=sys.stderr)\n"
        "    return {'sum': params['a'] + params['b'], 'id': os.environ['__OW_ACTIVATION_ID'], 'x': os.environ['X']}\n"
    )
    assert container.init(code, env={"X": "of init"})[0] == 200
    message = {"value": {"a": 2, "b": 3}, "activation_id": "abc", "deadline": "1"}
    assert container.post("/run", message) == (200, {"sum": 5, "id": "abc", "x": "of init"})
    assert container.logs() == (f"to stdout\n{SENTINEL}\n", f"to stderr\n{SENTINEL}\n")
    assert container.init(code) == (403, {"error": "Cannot initialize the action more than once."})


def test_a_zip_may_hold_helpers_and_names_of_ours(start: Start) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("__main__.py", "import helper, json\ndef entry(params):\n    return {'n': helper.N}\n")
        archive.writestr("helper.py", "N = 7")
        archive.writestr("json.py", "raise ImportError('hidden by a json.py')")
    container = start()
    assert container.init(base64.b64encode(content.getvalue()).decode(), binary=True, main="entry")[0] == 200
    assert container.run() == (200, {"n": 7})


@pytest.mark.parametrize(
    ("code", "binary", "reason"),
    [
        ("def main(:", False, "main.py, line 1: SyntaxError"),
        ("def other(params): pass", False, "there is no function main(params)"),
        ("import sys; sys.exit(3)", False, "main.py, line 1: SystemExit: 3"),
        ("%%%", True, "not base64"),
        (base64.b64encode(b"no zip").decode(), True, "archive is damaged"),
    ],
)
def test_code_that_cannot_be_used_is_a_developer_error_with_its_reason(
    start: Start, code: str, binary: bool, reason: str
) -> None:
    container = start()
    status, answer = container.init(code, binary=binary)
    assert status == 502
    assert reason in answer["error"]
    assert reason in container.logs()[1]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("return {'x': 1 / params['n']}", 200, "main.py, line 2: ZeroDivisionError: division by zero"),
        ("raise SystemExit", 200, "main.py, line 2: SystemExit"),
        ("raise KeyboardInterrupt", 200, "main.py, line 2: KeyboardInterrupt"),
        ("return {'x': float('nan')}", 200, "cannot be written as JSON"),
        ("return {'x': {1, 2}}", 200, "cannot be written as JSON"),
        ("return 'text'", 502, "The action did not return a dictionary or array."),
        ("params.method()", 200, "main.py, line 2: AttributeError: 'dict' object has no attribute 'method'"),
    ],
)
def test_a_failing_function_is_an_error_and_the_container_goes_on(
    start: Start, body: str, status: int, error: str
) -> None:
    container = start()
    assert container.init(f"def main(params):\n    {body}\n")[0] == 200
    for number in (1, 2):
        answered, answer = container.run(n=0)
        assert (answered, next(iter(answer))) == (status, "error")
        assert error in answer["error"]
        assert [text.count(SENTINEL) for text in container.logs()] == [number, number]


def test_a_traceback_shows_the_students_frames_and_not_ours(start: Start) -> None:
    container = start({"main.py": "import json\ndef inner():\n    json.loads('{')\ndef main(params):\n    inner()\n"})
    _, answer = container.run(task="function")
    assert answer["error"].startswith("main.py, line 3: json.decoder.JSONDecodeError: Expecting property name")
    assert "in inner" in container.logs()[1]
    assert str(ROOT / "runner") not in container.logs()[1]


def test_the_sentinel_comes_though_the_streams_were_closed(start: Start) -> None:
    container = start()
    container.init("import os, sys\ndef main(params):\n    sys.stdout = None\n    sys.stderr.close()\n    return {}\n")
    assert container.run() == (200, {})
    assert container.logs() == (f"{SENTINEL}\n", f"{SENTINEL}\n")


def test_a_second_activation_is_refused_while_one_runs(start: Start, tmp_path: Path) -> None:
    container = start()
    container.init(
        "import pathlib, time\n"
        "def main(params):\n"
        "    pathlib.Path(params['began']).touch()\n"
        "    while not pathlib.Path(params['go']).exists():\n"
        "        time.sleep(0.02)\n"
        "    return {'done': True}\n"
    )
    began, go = tmp_path / "began", tmp_path / "go"
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(container.run(began=str(began), go=str(go))))
    first.start()
    wait_for(began.exists)
    refused = container.run(began=str(began), go=str(tmp_path))
    go.touch()
    first.join(60)
    assert refused == (409, {"error": "an activation is running in this container already; it takes one at a time"})
    assert answers == [(200, {"done": True})]


def test_an_image_without_code_takes_init_twice_and_names_a_wrong_task(start: Start) -> None:
    container = start()
    for _ in range(2):
        assert container.post("/init", {"value": {"name": "x", "main": "main", "binary": False}})[0] == 200
    status, answer = container.run(task="trian")
    assert status == 200
    assert (
        answer["error"]
        == "Wrong parameters: task must be one of train, predict, infer, map, reduce, matrix, function, not 'trian'"
    )


@pytest.mark.parametrize(
    ("path", "message", "status"),
    [
        ("/run", b"[1", 400),
        ("/run", b"[" * 99999, 400),
        ("/run", [1], 400),
        ("/run", {"value": 3}, 400),
        ("/other", {}, 404),
    ],
)
def test_requests_that_are_none_are_refused(start: Start, path: str, message: Any, status: int) -> None:
    assert start().post(path, message)[0] == status


def test_no_torch_is_imported_where_no_task_needs_it(start: Start) -> None:
    container = start({"main.py": "import sys\ndef main(params):\n    return {'torch': 'torch' in sys.modules}\n"})
    assert container.run(task="function") == (200, {"torch": False})


def test_it_listens_on_a_port_by_hand_and_ends_when_told(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def main(params):\n    return params\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"PORT": str(port), "RUNNER_BIND": "127.0.0.1", "RUNNER_CODE": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-m", "runner"], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/run", json.dumps({"value": {"task": "function", "n": 1}}))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert json.loads(connection.getresponse().read()) == {"n": 1}
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": "http"}, "PORT is no number of a port: 'http'"),
        ({"RUNNER_LISTEN_FD": "x"}, "RUNNER_LISTEN_FD is no number"),
        ({"RUNNER_CODE": "/nowhere", "PORT": "0"}, "PORT is no number"),
        ({"RUNNER_LISTEN_FD": "199"}, "Bad file descriptor"),
    ],
)
def test_wrong_settings_are_one_line(variables: dict[str, str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runner"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
