"""Keys of student code to OpenWhisk, embedded or elsewhere: its run's actions, so often, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support import real_openwhisk
from support.embedded import SETTINGS, kill, wait_for, with_code_action
from support.fronts import front
from support.invoking import OWN, Student, There
from support.npm_client import NpmClient

from pipeline.backends.functions.openwhisk import OpenWhiskClient
from pipeline.embedded import client
from pipeline.embedded.contract import InvocationKey, Invoking, Reach, Service
from pipeline.embedded.settings import Outside
from pipeline.errors import CourseError, ThrottledError

OTHER = "run-10-map"
CODE = """
import base64, json, urllib.request

def main(params):
    if "address" not in params:
        print("asked for", params.get("n"))
        return {"n": params.get("n")}
    request = urllib.request.Request(
        f"http://{params['address']}/api/v1/namespaces/_/actions/run-1-map?blocking=true&result=true",
        json.dumps({"n": 7}).encode(), {"Content-Type": "application/json"})
    request.add_header("Authorization", "Basic " + base64.b64encode(params["auth"].encode()).decode())
    return json.loads(urllib.request.urlopen(request, timeout=60).read())
"""


@pytest.fixture(scope="module", params=["embedded", "elsewhere"])
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp(request.param)
    processes = Processes()
    if request.param == "embedded":
        servers = client.start(folder / "servers", SETTINGS)
        with_code_action(servers, folder)
        found = There(servers, folder / "servers", SETTINGS, servers.apihost, servers.auth)
    else:
        real = real_openwhisk.start(processes, folder / "there", invocations_per_minute=1000)
        (folder / "auth").write_text(real.auth + "\n")
        outside = Outside(
            apihost=real.https,
            auth_file=folder / "auth",
            ca_file=real.certificate,
            bind="127.0.0.1",
            advertise="127.0.0.1",
        )
        settings = SETTINGS.model_copy(update={"outside": outside})
        servers = client.start(folder / "servers", settings)
        found = There(servers, folder / "servers", settings, real.https, real.auth, real.certificate)
    for name in (OWN, OTHER, "run-1"):
        answer = found.ask("PUT", f"actions/{name}?overwrite=true", {"exec": {"kind": "python:3", "code": CODE}})
        assert answer.status_code == 200, answer.text
    yield found
    found.servers.stop()
    processes.end()


def opened(there: There, name: str, **rule: Any) -> InvocationKey:
    most = {"invocations": 100, "requests": 1000, "bytes_total": 2**24, "expires": time.time() + 3600} | rule
    return there.servers.open_invocations(Invoking(name=name, actions=(OWN,), **most))


@pytest.fixture
def student(there: There, request: pytest.FixtureRequest) -> Iterator[Student]:
    """With a key of the test's own; a test's parameter `rule` bounds it."""
    rule = getattr(request, "param", {})
    key = opened(there, "test", **rule)
    with front(key.socket) as address:
        yield Student(f"http://{address}", key.auth)
    there.servers.close_invocations("test")


def error_of(answer: requests.Response) -> str:
    content = answer.json()
    assert set(content) == {"error", "code"}, "in OpenWhisk's own form"
    return str(content["error"])


def test_the_runs_action_is_invoked_and_its_activation_read(there: There, student: Student) -> None:
    assert student.invoke({"n": 1}).json() == {"n": 1}
    record = student.invoke({"n": 2}, "?blocking=true").json()
    assert record["response"]["result"] == {"n": 2}
    accepted = student.invoke({"n": 3}, "")
    assert accepted.status_code == 202
    path = f"/api/v1/namespaces/_/activations/{accepted.json()['activationId']}"
    wait_for(lambda: student.ask("GET", path).status_code == 200, "the record")
    assert student.ask("GET", f"{path}/result").json()["result"] == {"n": 3}
    wait_for(lambda: bool(student.ask("GET", f"{path}/logs").json()["logs"]), "its logs")
    assert student.ask("GET", "/api/v1/namespaces").json() == ["_"]

    used = there.servers.invoked("test")
    assert used.invocations == 3
    assert used.passed.requests >= 6 and used.passed.refused == 0
    assert used.passed.bytes_sent > 20 and used.passed.bytes_received > 500 and used.passed.seconds > 0


def test_ordinary_clients_work_with_it(student: Student) -> None:
    functions = OpenWhiskClient(student.apihost, student.auth)
    activation = functions.invoke(OWN, {"n": 4})
    wait_for(lambda: functions.activation(activation) is not None, "the record")
    record = functions.activation(activation)
    assert record is not None and record.result == {"n": 4} and record.success


def test_npms_client_works_with_it(student: Student, processes: Processes) -> None:
    npm = NpmClient(processes, SimpleNamespace(apihost=student.apihost, auth=student.auth))  # type: ignore[arg-type]
    assert npm.ok("actions", "invoke", name=OWN, params={"n": 5}, blocking=True, result=True) == {"n": 5}
    refused = npm("actions", "invoke", name=OTHER, blocking=True)
    assert refused["status"] == 403
    assert npm("actions", "delete", name=OWN)["status"] == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"_/actions/{OTHER}", 403),
        ("POST", "_/actions/run-1", 403),
        ("POST", "_/actions/no-such", 403),
        ("POST", f"_/actions/package/{OWN}", 403),
        ("POST", f"guest/actions/{OWN}", 403),
        ("POST", f"_/actions/{OWN}%2F..%2F{OTHER}", 403),
        ("POST", f"_/actions/../actions/{OTHER}", 403),
        ("GET", f"_/actions/{OWN}", 403),
        ("PUT", f"_/actions/{OWN}?overwrite=true", 403),
        ("PUT", "_/actions/mine", 403),
        ("DELETE", f"_/actions/{OWN}", 403),
        ("GET", "_/actions", 403),
        ("GET", "_/activations", 403),
        ("GET", "_/limits", 403),
        ("POST", "_/triggers/t", 403),
        ("PUT", "_/rules/r", 403),
        ("HEAD", "_/actions", 403),
        ("GET", "_/activations/" + "a" * 32, 404),
        ("GET", "_/activations/" + "a" * 32 + "/logs", 404),
    ],
)
def test_nothing_else_passes(there: There, student: Student, method: str, path: str, status: int) -> None:
    session = requests.Session()
    request = requests.Request(
        method, f"{student.apihost}/api/v1/namespaces/x", json={}, auth=tuple(student.auth.split(":"))
    ).prepare()
    request.url = f"{student.apihost}/api/v1/namespaces/{path}"  # as it stands: no client tidies it
    answer = session.send(request, timeout=60)
    assert answer.status_code == status, answer.text
    if method != "HEAD":
        assert error_of(answer)
    assert there.servers.invoked("test").passed.requests == 0
    assert there.ask("GET", f"actions/{OWN}").status_code == 200


def test_what_others_started_cannot_be_read(there: There, student: Student) -> None:
    others = there.ask("POST", f"actions/{OWN}?blocking=true", {"n": "secret"}).json()["activationId"]
    for part in ("", "/logs", "/result"):
        assert student.ask("GET", f"/api/v1/namespaces/_/activations/{others}{part}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/ping", "/pool", "/api/v1/web/guest/default/a", "/api/v1/namespaces/"]
)
def test_paths_outside_are_not_there(student: Student, path: str) -> None:
    answer = student.ask("GET", path)
    assert answer.json() == ["_"] if path.endswith("namespaces/") else answer.status_code == 404


def test_only_the_key_itself_opens(there: There, student: Student) -> None:
    for auth in ("", "a:b", f"{student.auth}x", there.auth, student.auth.replace(":", "")):
        answer = student.ask("GET", "/api/v1/namespaces", auth=auth)
        assert answer.status_code == 401 and "authentication" in error_of(answer)
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("student", [{"expires": 1.0}], indirect=True)
def test_a_key_expires(student: Student) -> None:
    assert student.invoke().status_code == 401


@pytest.mark.parametrize("student", [{"invocations": 2}], indirect=True)
def test_invocations_are_counted(there: There, student: Student) -> None:
    assert student.ask("POST", f"/api/v1/namespaces/_/actions/{OWN}?timeout=0&blocking=true").status_code == 400
    assert [student.invoke().status_code for _ in range(4)] == [200, 200, 403, 403]
    assert "may start 2 activations" in error_of(student.invoke())
    with pytest.raises(CourseError, match="may start 2"):
        OpenWhiskClient(student.apihost, student.auth).invoke(OWN, {})
    opened(there, "test", invocations=3)
    assert [student.invoke().status_code for _ in range(2)] == [200, 403], "a new rule keeps the count"


@pytest.mark.parametrize("student", [{"per_minute": 2}], indirect=True)
def test_a_run_does_not_use_up_the_namespaces_minute(student: Student) -> None:
    # a minute may turn meanwhile, so that it has room for two more
    answers = [student.invoke() for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert "in the last minute" in error_of(next(one for one in answers if one.status_code == 429))
    with pytest.raises(ThrottledError):
        for _ in range(5):
            OpenWhiskClient(student.apihost, student.auth).invoke(OWN, {})


@pytest.mark.parametrize(
    ("student", "said"), [({"requests": 1}, "1 requests"), ({"bytes_total": 300}, "300 bytes")], indirect=["student"]
)
def test_requests_and_bytes_are_counted(student: Student, said: str) -> None:
    assert student.invoke().status_code == 200
    answer = student.invoke({"n": "x" * 300})
    assert answer.status_code == 403 and said in error_of(answer)


def test_what_would_hurt_a_real_server_never_reaches_it(there: There, student: Student) -> None:
    path = f"/api/v1/namespaces/_/actions/{OWN}"
    deep = student.ask("POST", path, data=b'{"n":' + b"[" * 900 + b"]" * 900 + b"}")
    assert deep.status_code == 400 and "nest" in error_of(deep)
    large = student.ask("POST", path, data=b'{"n": "' + b"x" * 1_200_000 + b'"}')
    assert large.status_code == 413 and "1048576" in error_of(large)
    assert student.ask("POST", path, data=b'{"n": 1').status_code == 400
    assert there.servers.invoked("test").invocations == 0


def test_a_key_that_was_taken_back_opens_nothing(there: There) -> None:
    key = opened(there, "gone")
    there.servers.close_invocations("gone")
    there.servers.close_invocations("gone")
    assert not key.socket.exists()


def test_student_code_invokes_from_inside(there: There, student: Student) -> None:
    """Through the address that its containers are given, with an ordinary HTTP client."""
    key = opened(there, "test")
    service = Service(name="openwhisk", socket=key.socket, port=3233)
    reach = Reach(namespace=there.servers.namespace, action="run-1", services=(service,))
    address = there.servers.set_reach(reach)["openwhisk"]
    answer = there.ask("POST", "actions/run-1?blocking=true&result=true", {"address": address, "auth": key.auth})
    assert answer.json() == {"n": 7}, answer.text


def test_a_killed_supervisor_knows_keys_and_counts_again(there: There) -> None:
    key = opened(there, "kept", invocations=2)
    with front(key.socket) as address:
        before = Student(f"http://{address}", key.auth).invoke(query="?blocking=true").json()["activationId"]
    kill(there.servers)
    there.servers = client.start(there.state, there.settings)
    again = opened(there, "kept", invocations=2)
    if there.settings.outside is None:
        there.apihost = there.servers.apihost
    assert again.auth == key.auth
    with front(again.socket) as address:
        student = Student(f"http://{address}", key.auth)
        assert student.ask("GET", f"/api/v1/namespaces/_/activations/{before}").status_code == 200
        assert [student.invoke().status_code for _ in range(2)] == [200, 403]
