"""The main job with an OpenWhisk elsewhere: its limits, its hidden queue, TLS, and nothing of the run left there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from frame.processes import Processes
from minio import Minio
from support.embedded import wait_for
from support.minio_server import MinioServer
from support.real_openwhisk import RealOpenWhisk, course_file, start
from support.runs import EXAMPLES, command

from pipeline import flow
from pipeline.backends import Backends
from pipeline.backends.images.process import ProcessImages
from pipeline.backends.servers.openwhisk import OpenWhiskServers
from pipeline.beginning import new_record
from pipeline.course import cache_folder
from pipeline.embedded.client import attach
from pipeline.errors import Outcome
from pipeline.listener import Silent
from pipeline.result import Result
from pipeline.run import Request, Run

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates for TLS are made with openssl")


class FoldersAreThere(OpenWhiskServers):
    """Containers of the stand-in have the code already: nothing is pulled from a registry."""

    def install(self, image: Any) -> None: ...


@pytest.mark.slow
def test_on_pipeline_serve_and_a_minio_nothing_of_the_run_is_left_on_either(
    tmp_path: Path, processes: Processes, minio: MinioServer
) -> None:
    """Served with the standalone's limits; containers in the sandbox reach the ports that staff let through."""
    state, ports = tmp_path / "there", range(31700, 31710)
    api = served(processes, tmp_path, state, [f"127.0.0.1:{port}" for port in ports])
    keys = tmp_path / "store-keys"
    keys.write_text(f"{minio.access_key}:{minio.secret_key}\n")
    elsewhere = {"store_endpoint": f"http://{minio.endpoint}", "store_auth_file": str(keys)}
    elsewhere |= {"apihost": api.http, "ports": f"{ports[0]}-{ports[-1]}"}
    course = course_file(tmp_path, api.auth, workers=2, **elsewhere)

    class InstalledThere(OpenWhiskServers):
        def install(self, image: Any) -> None:
            there = attach(state / "ready.json")
            assert there is not None
            there.install(image)

    run, outcome, notes = run_there(tmp_path / "run", course, InstalledThere)

    assert outcome is Outcome.PASSED, (run.record.reason, notes, run.record.faults)
    left = Minio(minio.endpoint, minio.access_key, minio.secret_key, secure=False).list_buckets()
    assert [one.name for one in left if run.record.run in one.name] == []
    assert actions(api) == []


def served(processes: Processes, folder: Path, state: Path, reach: list[str]) -> RealOpenWhisk:
    ready = folder / "ready.json"
    limits = ["--per-minute", "60", "--concurrent", "30", "--pool-mb", "1536"]
    options = [*("--state", state), *("--ready-file", ready), "--port", "0", "--store-port", "0", *limits]
    for one in reach:
        options += ["--reach", one]
    process = processes.start(command("serve", "--sandbox", "process", *options), stdout=subprocess.DEVNULL)
    wait_for(ready.exists, "pipeline serve answers")
    told = json.loads(ready.read_text())["openwhisk"]
    return RealOpenWhisk(process, told["apihost"], "", told["auth"], folder)


def run_there(
    folder: Path, course: Path, servers: type[OpenWhiskServers] = FoldersAreThere
) -> tuple[Run, Outcome, list[str]]:
    run = Run.create(folder, new_record(Request(source=str(EXAMPLES / "mnist_train"), course_file=course)))
    listener = Notes()
    backends = Backends(images=ProcessImages(cache_folder(run.record.course)), servers=servers(run))
    return run, flow.walk(run, backends, listener), listener.notes


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, stage: str, text: str) -> None:
        self.notes.append(text)


def actions(there: RealOpenWhisk) -> list[Any]:
    user, key = there.auth.split(":")
    found: list[Any] = requests.get(f"{there.http}/api/v1/namespaces/_/actions", auth=(user, key), timeout=60).json()
    return found


@pytest.mark.slow
def test_the_main_job_passes_on_an_openwhisk_elsewhere(tmp_path: Path, processes: Processes) -> None:
    """Four workers and a pool for three: the fourth waits where nobody sees it, and nobody waits for it."""
    code = EXAMPLES / "mnist_train"
    there = start(processes, tmp_path / "there", code=code, pool_mb=3 * 512 + 256)
    course = course_file(tmp_path, there.auth, workers=4, apihost=there.https, ca_file=str(there.certificate))

    run, outcome, notes = run_there(tmp_path / "run", course)

    assert outcome is Outcome.PASSED, (run.record.reason, notes, run.record.faults)
    result = Result.model_validate_json(run.result_file.read_bytes())
    assert result.metrics.accuracy is not None and result.metrics.accuracy >= 0.85
    assert all((worker.steps or 0) > 0 for worker in result.workers)
    assert result.metrics.peak_memory_mb is None and result.metrics.cpu_s is None, "nobody measured it"
    assert (result.metrics.bytes_sent or 0) > 10**6, "the parameter server did"
    assert "not measured: memory" in run.report_file.read_text()
    assert result.isolation == "container" and any("network" in one for one in result.unenforced)
    assert actions(there) == []
    assert there.auth.split(":")[1] not in "".join(
        path.read_text(errors="replace") for path in run.folder.rglob("*") if path.is_file()
    ), "the real key stays in its file"
