"""The servers of a run on an OpenWhisk elsewhere: TLS, keys, throttles, ports, what is left there."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support import real_openwhisk
from support.embedded import kill, wait_for
from support.real_openwhisk import RealOpenWhisk, course
from support.stages import new_run

from pipeline.backends.functions import Action, ActionLimits
from pipeline.backends.functions.openwhisk import OpenWhiskClient
from pipeline.backends.functions.paced import PacedFunctions
from pipeline.backends.servers.openwhisk import OpenWhiskServers
from pipeline.embedded.contract import DockerImage, ProcessImage, Reach, Service
from pipeline.errors import CourseError, InfrastructureError, ThrottledError
from pipeline.run import Run
from pipeline.settings import Course

SMALL = ActionLimits(128, 60, 1)
LARGEST_MB = 1024


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOpenWhisk]:
    processes = Processes()
    limits = {"invocations_per_minute": 20, "concurrent_invocations": 3, "memory_mb": (128, 256, LARGEST_MB)}
    yield real_openwhisk.start(processes, tmp_path_factory.mktemp("there"), **limits)
    processes.end()


def run_there(folder: Path, there: RealOpenWhisk, **servers: Any) -> Run:
    return new_run(folder / "run", folder, course=course(folder, there, **servers))


def functions(there: RealOpenWhisk, **options: Any) -> OpenWhiskClient:
    return OpenWhiskClient(there.https, there.auth, **({"ca_file": there.certificate} | options))


def action(name: str, run: str) -> Action:
    return Action(name, "any/image:1", SMALL, {}, {"run": run})


def test_the_certificate_is_checked(there: RealOpenWhisk, tmp_path: Path) -> None:
    assert functions(there).server_limits()["actions_per_minute"] == 20
    assert functions(there, ca_file=None, insecure=True).server_limits()
    other, _ = real_openwhisk.certificate(tmp_path, "other")
    for options in ({"ca_file": other}, {"ca_file": None}):
        with pytest.raises(CourseError, match="certificate") as caught:
            functions(there, **options).server_limits()
        assert "servers.ca_file" in caught.value.hint


def test_a_wrong_key_is_the_courses_fault(there: RealOpenWhisk) -> None:
    wrong = OpenWhiskClient(there.https, "wrong:key", ca_file=there.certificate)
    with pytest.raises(CourseError, match="authentication is invalid") as caught:
        wrong.server_limits()
    assert "auth_file" in caught.value.hint and "wrong:key" not in caught.value.message


@pytest.mark.parametrize("content", ["", "no-colon", "two words:x", "\xff"])
def test_a_file_that_holds_no_key_is_named_and_not_shown(there: RealOpenWhisk, tmp_path: Path, content: str) -> None:
    servers = OpenWhiskServers(run_there(tmp_path, there, auth=content))
    with pytest.raises(CourseError, match="auth") as caught:
        servers.functions()
    assert not content or content not in caught.value.message.replace(str(tmp_path), "")


def test_actions_of_the_run_go_with_it_and_no_others(there: RealOpenWhisk, tmp_path: Path) -> None:
    run = run_there(tmp_path, there)
    servers, own = OpenWhiskServers(run), run.record.run
    assert not servers.started()
    for name, owner in ((f"{own}-train", own), (f"{own}-predict-final", own), (f"{own}-2-train", f"{own}-2")):
        servers.functions().put_action(action(name, owner))
    assert OpenWhiskServers(run).started(), "also for a process that comes later"

    OpenWhiskServers(run).stop()

    assert functions(there).action_names(own) == []
    assert functions(there).action_names(f"{own}-2") == [f"{own}-2-train"]
    assert not OpenWhiskServers(run).started()
    OpenWhiskServers(run).stop()
    functions(there).delete_action(f"{own}-2-train")


def test_actions_that_could_not_be_deleted_are_remembered(
    there: RealOpenWhisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_there(tmp_path, there)
    OpenWhiskServers(run).functions().put_action(action(f"{run.record.run}-train", run.record.run))
    monkeypatch.setattr("pipeline.backends.functions.openwhisk.FIRST_WAIT_S", 0.0)
    gone = OpenWhiskServers(Run(run.folder, run.record.model_copy(update={"course": unreachable(run)})))
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        gone.stop()
    assert OpenWhiskServers(run).started()
    OpenWhiskServers(run).stop()
    assert functions(there).action_names(run.record.run) == []


def unreachable(run: Run) -> Course:
    servers = run.record.course.servers.model_copy(update={"apihost": "http://127.0.0.1:9"})
    return run.record.course.model_copy(update={"servers": servers})


def test_only_what_it_can_pull_is_registered(there: RealOpenWhisk, tmp_path: Path) -> None:
    servers = OpenWhiskServers(run_there(tmp_path, there))
    digest = "sha256:" + "a" * 64
    servers.install(DockerImage(reference="registry.invalid:5000/a/b:1", id=digest, digest=digest))
    folders = ProcessImage(
        reference="a/b:1",
        digest=digest,
        python=tmp_path,
        base=tmp_path,
        environment=None,
        code=tmp_path,
        runner=tmp_path,
    )
    for image in (folders, DockerImage(reference="a/b:1", id=digest)):
        with pytest.raises(CourseError, match="in no registry"):
            servers.install(image)


def test_services_answer_on_the_ports_that_were_given(there: RealOpenWhisk, tmp_path: Path) -> None:
    run = run_there(tmp_path, there, ports="31810-31812", bind="127.0.0.1", advertise="localhost")
    servers = OpenWhiskServers(run)
    services = [Service(name=f"s{number}", socket=tmp_path / f"{number}.sock", port=1000) for number in range(2)]
    try:
        first = reach(servers, "one", services)
        assert sorted(first.values()) == ["localhost:31810", "localhost:31811"]
        assert reach(servers, "one", services) == first, "the same action keeps them"
        with pytest.raises(InfrastructureError, match="no port for containers"):
            reach(servers, "two", services)
    finally:
        servers.stop()


def test_a_killed_process_answers_on_the_same_ports_again(there: RealOpenWhisk, tmp_path: Path) -> None:
    """Containers over there know no others."""
    servers = OpenWhiskServers(run_there(tmp_path, there))
    with echoing(tmp_path / "echo.sock") as socket_path:
        try:
            address = reach(servers, "one", [Service(name="s", socket=socket_path, port=1000)])["s"]
            assert said(address, b"before") == b"before"
            kill(servers.embedded)
            again = OpenWhiskServers(servers.run)
            assert again.embedded.ready.pid != servers.embedded.ready.pid
            assert said(address, b"after") == b"after"
        finally:
            OpenWhiskServers(servers.run).stop()
    host, port = address.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)


@contextmanager
def echoing(path: Path) -> Iterator[Path]:
    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(self.request.recv(100))

    with socketserver.ThreadingUnixStreamServer(str(path), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


def said(address: str, text: bytes) -> bytes:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text)
        return connection.recv(100)


def reach(servers: OpenWhiskServers, action: str, services: list[Service]) -> dict[str, str]:
    return servers.embedded.set_reach(Reach(namespace="guest", action=action, services=tuple(services)))


def test_what_is_measured_there_is_nothing(there: RealOpenWhisk, tmp_path: Path) -> None:
    servers = OpenWhiskServers(run_there(tmp_path, there))
    assert not servers.measures and servers.usage() == () and servers.pool() is None


def test_the_largest_function_is_as_large_as_that_openwhisk_says(there: RealOpenWhisk, tmp_path: Path) -> None:
    """What `pipeline experiment --memory` may ask for there, whatever the embedded one allows."""
    servers = OpenWhiskServers(run_there(tmp_path, there))
    assert servers.most_memory_mb() == LARGEST_MB
    assert not servers.started(), "asking leaves nothing to be ended"


@pytest.mark.parametrize("limits", [{}, {"max_action_memory": None}, {"max_action_memory": "1024 m"}])
def test_of_an_openwhisk_that_names_no_largest_memory_none_is_known(
    there: RealOpenWhisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, object]
) -> None:
    monkeypatch.setattr(OpenWhiskClient, "server_limits", lambda _: limits)
    assert OpenWhiskServers(run_there(tmp_path, there)).most_memory_mb() is None


def test_throttles_hold_up_invocations_and_nothing_else(there: RealOpenWhisk) -> None:
    """Three at once are a namespace's; asking for records does not count, nor does putting actions."""
    sleeper = "import time\n\ndef main(params):\n    time.sleep(params.get('s', 0))\n    return {}\n"
    there_too = functions(there)
    put_code(there, "sleeper", sleeper)
    while time.time() % 60 > 45:
        time.sleep(0.5)
    paced = PacedFunctions(there_too)
    running = [paced.invoke("sleeper", {"s": 3}) for _ in range(3)]
    with pytest.raises(ThrottledError, match="in flight") as caught:
        paced.invoke("sleeper", {})
    assert 0 < caught.value.wait_s <= 10
    with pytest.raises(ThrottledError, match="in flight"):
        paced.invoke("sleeper", {})
    for one in running:
        wait_for(lambda one=one: paced.activation(one) is not None, "the end of a sleeper")
    for _ in range(40):
        assert there_too.activation("f" * 32) is None
    paced.held = (0.0, "")
    accepted = []
    with pytest.raises(ThrottledError, match="minute"):
        while len(accepted) < 30:
            accepted.append(paced.invoke("sleeper", {}))
            wait_for(lambda: there_too.activation(accepted[-1]) is not None, "its end")
    assert len(accepted) >= 10
    there_too.delete_action("sleeper")


def put_code(there: RealOpenWhisk, name: str, code: str) -> None:
    user, key = there.auth.split(":")
    answer = requests.put(
        f"{there.http}/api/v1/namespaces/_/actions/{name}?overwrite=true",
        json={"exec": {"kind": "python:3", "code": code}},
        auth=(user, key),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
