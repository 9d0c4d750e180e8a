"""`pipeline doctor --course`: what is right and wrong with each server that a course names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from frame.processes import Processes
from support import real_openwhisk
from support.minio_server import MinioServer
from support.real_openwhisk import ASSIGNMENT, RealOpenWhisk, course
from support.registry_server import RegistryServer

from pipeline.cli.findings import State
from pipeline.cli.server_findings import server_findings
from pipeline.settings import Course, Servers


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOpenWhisk]:
    processes = Processes()
    yield real_openwhisk.start(
        processes, tmp_path_factory.mktemp("there"), invocations_per_minute=20, concurrent_invocations=3
    )
    processes.end()


def found(course: Course, name: str) -> list[tuple[State, str]]:
    return [(one.state, f"{one.detail}; {one.todo}") for one in server_findings(course) if one.name == name]


def test_doctor_says_what_is_right_and_wrong(there: RealOpenWhisk, tmp_path: Path) -> None:
    right = course(tmp_path, there)
    assert found(right, "OpenWhisk") == [
        (State.OK, f"{there.https} takes the key: 20 invocations a minute, 3 at once; ")
    ]
    assert found(right, "limits") == [] and found(right, "keys") == []
    ((state, text),) = found(right, "registry")
    assert state is State.MISSING and "registry.invalid:5000" in text

    ((state, text),) = found(course(tmp_path, there, auth="wrong:key"), "OpenWhisk")
    assert state is State.MISSING and "auth_file" in text and "wrong:key" not in text
    ((state, text),) = found(course(tmp_path, there, ca_file=None), "OpenWhisk")
    assert state is State.MISSING and "servers.ca_file" in text
    ((state, text),) = found(course(tmp_path, there, bind="192.0.2.1"), "address")
    assert state is State.MISSING and "192.0.2.1" in text
    assert [state for state, _ in found(course(tmp_path, there, insecure=True), "OpenWhisk")] == [State.OK, State.NOTE]


def test_doctor_compares_limits_with_the_assignments(there: RealOpenWhisk, tmp_path: Path) -> None:
    large = ASSIGNMENT.model_copy(
        update={
            "limits": ASSIGNMENT.limits.model_copy(update={"memory_mb": 1024}),
            "job": ASSIGNMENT.job.model_copy(update={"workers": 8}),
        }
    )
    asked = course(tmp_path, there).model_copy(update={"assignments": (large,)})
    assert [(state, "memory" in text) for state, text in found(asked, "limits")] == [
        (State.MISSING, True),
        (State.NOTE, False),
    ]
    asked.servers.auth_file.chmod(0o644)  # type: ignore[union-attr]
    assert found(asked, "keys")[0][0] is State.NOTE


def elsewhere(folder: Path, **servers: object) -> Course:
    return Course(name="c", assignments=(ASSIGNMENT,), servers=Servers.model_validate(servers), cache=folder / "cache")


def key_file(folder: Path, content: str) -> Path:
    path = folder / f"key-{len(list(folder.iterdir()))}"
    path.write_text(content + "\n")
    path.chmod(0o600)
    return path


def test_doctor_asks_the_registry(registry: RegistryServer, tmp_path: Path) -> None:
    right = elsewhere(tmp_path, registry=registry.address, registry_auth_file=registry.auth_file)
    ((state, text),) = found(right, "registry")
    assert state is State.OK and registry.password not in text
    for wrong in ({}, {"registry_auth_file": key_file(tmp_path, f"{registry.user}:wrong")}):
        ((state, text),) = found(elsewhere(tmp_path, registry=registry.address, **wrong), "registry")
        assert state is State.MISSING and "registry_auth_file" in text
    ((state, text),) = found(elsewhere(tmp_path, registry="127.0.0.1:9"), "registry")
    assert state is State.MISSING and "does not answer" in text


def test_doctor_asks_the_store_for_a_key_of_a_run(minio: MinioServer, tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"{minio.access_key}:{minio.secret_key}")
    endpoint = f"http://{minio.endpoint}"
    ((state, text),) = found(elsewhere(tmp_path, store_endpoint=endpoint, store_auth_file=keys), "store")
    assert state is State.OK and "runs" in text
    wrong = key_file(tmp_path, f"{minio.access_key}:wrong-wrong-wrong")
    ((state, text),) = found(elsewhere(tmp_path, store_endpoint=endpoint, store_auth_file=wrong), "store")
    assert state is State.MISSING and "wrong-wrong" not in text
    ((state, _),) = found(elsewhere(tmp_path, store_endpoint="http://127.0.0.1:9", store_auth_file=keys), "store")
    assert state is State.MISSING
