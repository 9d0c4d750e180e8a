"""What every maker of containers keeps to (pipeline.embedded.openwhisk.containers), in either sandbox."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.both_sandboxes import InEither
from support.sandboxes import LOGS_BYTES, CodeActions

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.openwhisk.containers import (
    Container,
    ContainerSpec,
    NoImageError,
    NoReplyError,
    NoReplyInTimeError,
)

ECHOES = """
import os, sys
def main(params):
    print("to stdout", params)
    print("to stderr", file=sys.stderr)
    of_ours = [os.environ.get(name) for name in ("__OW_API_HOST", "HOME", "OMP_NUM_THREADS")]
    return {"given": params, "user": os.getuid(), "variables": of_ours}
"""
COUNTS = """
import threading, time
ticks = []
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
def main(params):
    return {"ticks": len(ticks)}
"""
LEAVES = "import os\ndef main(params):\n    os._exit(params['code'])\n"
SLEEPS = "import time\ndef main(params):\n    time.sleep(600)\n"
PRINTS = """
def main(params):
    for number in range(params["lines"]):
        print("line", number, "x" * params["width"])
    return {}
"""
CHUNKED = """
from runner.server import Handler
def send(self, answer):
    self.send_response(200)
    self.send_header("Transfer-Encoding", "chunked")
    self.end_headers()
    self.wfile.write(b"2\\r\\n{}\\r\\n0\\r\\n\\r\\n")
Handler._send = send
def main(params):
    return {}
"""
FAILS_AT_INIT = "import os\nos._exit(4)\n"
DAEMON = """
import os, time
def main(params):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                print("still here", flush=True)
                time.sleep(0.05)
        os._exit(0)
    return {}
"""
SPEAKS = """
import socket
def main(params):
    host, _, port = params["at"].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=20) as one:
            one.sendall(b"hello " * 50_000)
            one.shutdown(socket.SHUT_WR)
            answer = b""
            while data := one.recv(65536):
                answer += data
    except OSError as error:
        return {"failed": type(error).__name__}
    return {"answer": answer.decode()}
"""


async def ask(container: Container, value: object = None, timeout_s: float = 60) -> Any:
    body = json.dumps({"value": value or {}}).encode()
    reply = await container.request("/run", body, timeout_s=timeout_s, reply_limit=10**6)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_an_action_answers_again_and_again_and_its_lines_have_their_stream(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        spec = ContainerSpec(
            "test-one", "guest", "a", "0.0.1", 128, kind="python:3", variables={"__OW_API_HOST": "http://here"}
        )
        container = await made.maker.create(spec)
        body = {"value": {"name": "a", "main": "main", "binary": False, "code": ECHOES}}
        await container.request("/init", json.dumps(body).encode(), timeout_s=60, reply_limit=1000)
        for number in range(2):
            container.begin(f"activation {number}", LOGS_BYTES)
            answer = await ask(container, {"number": number})
            assert answer["given"] == {"number": number}
            assert (answer["user"] > 0, answer["variables"]) == (True, ["http://here", "/tmp", "1"])
            lines = {(line.stream, line.text) for line in await container.logs(20)}
            assert lines == {("stdout", f"to stdout {{'number': {number}}}"), ("stderr", "to stderr")}
            assert (await container.usage()).activation == f"activation {number}"
        assert await container.exited() is None
        await container.stop()

    in_either(steps)


def test_logs_are_bounded_and_say_what_is_missing(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.initialised(PRINTS)
        assert await ask(container, {"lines": 3000, "width": 100}) == {}
        lines = await container.logs(20)
        assert sum(len(line.text) for line in lines) < LOGS_BYTES + 200
        assert lines[0].text.startswith("line 0 ")
        assert "bytes were dropped" in lines[-1].text
        container.begin("next", LOGS_BYTES)
        await ask(container, {"lines": 2, "width": 0})
        assert [line.text.strip() for line in await container.logs(20)] == ["line 0", "line 1"]

    in_either(steps)


def test_who_exits_gives_no_reply_and_an_exit_code(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.initialised(LEAVES)
        with pytest.raises(NoReplyError):
            await ask(container, {"code": 3})
        ended = await container.exited(0.2)
        assert ended is not None
        assert (ended.code, ended.killed_for) == (3, "")
        with pytest.raises(NoReplyError):
            await ask(container, {"code": 3}, timeout_s=600)

    in_either(steps)


def test_a_crash_while_it_is_initialised_is_told_at_once(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.create()
        body = {"value": {"name": "a", "main": "main", "binary": False, "code": FAILS_AT_INIT}}
        with pytest.raises(NoReplyError):
            await container.request("/init", json.dumps(body).encode(), timeout_s=600, reply_limit=1000)
        ended = await container.exited(0.2)
        assert ended is not None
        assert ended.code == 4

    in_either(steps)


def test_a_reply_in_chunks_is_none(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.create()
        body = {"value": {"name": "a", "main": "main", "binary": False, "code": CHUNKED}}
        with pytest.raises(NoReplyError, match="Content-Length"):
            await container.request("/init", json.dumps(body).encode(), timeout_s=60, reply_limit=1000)

    in_either(steps)


def test_who_does_not_answer_in_time_is_stopped_with_all_its_children(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.initialised(DAEMON)
        assert await ask(container) == {}
        late = await made.initialised(SLEEPS, "late")
        with pytest.raises(NoReplyInTimeError):
            await ask(late, timeout_s=0.5)
        assert await late.exited() is None
        await asyncio.gather(container.stop(), container.stop(), late.stop())
        assert await container.exited() is not None
        # both streams are at their end, so that nobody is left who holds one
        await asyncio.wait_for(container.logs(600), 30)

    in_either(steps)


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.1, 0.3])
def test_who_is_no_longer_wanted_while_it_is_made_leaves_nothing(in_either: InEither, after_s: float) -> None:
    async def steps(made: CodeActions) -> None:
        making = asyncio.create_task(made.create())
        await asyncio.sleep(after_s)
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making

    in_either(steps)


def test_a_container_that_was_paused_goes_on_where_it_was(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        container = await made.initialised(COUNTS)
        await container.resume()
        before = (await ask(container))["ticks"]
        await container.pause()
        await container.pause()
        assert await container.exited() is None
        await container.resume()
        container.begin("after", LOGS_BYTES)
        assert (await ask(container))["ticks"] >= before
        await container.pause()
        await container.stop()

    in_either(steps)


def test_an_image_that_is_not_there_is_the_developer_s_fault(in_either: InEither) -> None:
    async def steps(made: CodeActions) -> None:
        for image in ("no-such-image:1", "127.0.0.1:9/no/such:1", "sha256:" + "0" * 64):
            with pytest.raises(NoImageError, match=image):
                await made.maker.create(ContainerSpec("test-none", "guest", "a", "0.0.1", 128, image=image))

    in_either(steps)


def test_a_service_answers_its_own_action_and_no_other(in_either: InEither, tmp_path: Path) -> None:
    async def steps(made: CodeActions) -> None:
        path = Path("/tmp", f"svc-{tmp_path.name[-20:]}-{id(made)}")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            threading.Thread(target=count_once, args=(listener,), daemon=True).start()
            service = Service(name="s", socket=path, port=9000)
            found = await made.maker.set_reach(Reach(namespace="guest", action="action", services=(service,)))
            await made.maker.set_reach(Reach(namespace="guest", action="another", services=()))
            assert list(found) == ["s"]
            own, stranger = await asyncio.gather(
                made.initialised(SPEAKS, "own"), made.initialised(SPEAKS, "stranger", action="another")
            )
            assert "failed" in await ask(stranger, {"at": found["s"]})
            assert await ask(own, {"at": found["s"]}) == {"answer": "300000 bytes"}
        path.unlink()

    in_either(steps)


def count_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        received = 0
        while data := connection.recv(65536):
            received += len(data)
        connection.sendall(f"{received} bytes".encode())
