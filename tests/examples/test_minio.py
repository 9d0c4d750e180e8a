"""The main job with a real MinIO as the store: killed in its training, resumed, and nothing of it left there."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.minio_server import minio_server, needed
from support.runs import COURSE, EXAMPLES, TWICE, pipeline, start

from pipeline.backends.store import Key
from pipeline.backends.store.s3 import client

WAIT_S = 120


def course_file(folder: Path, url: str, ca_file: Path) -> Path:
    """The tests' course, with its store elsewhere."""
    text = COURSE.read_text()
    at = text.index("[[assignments]]")
    named = f'[servers]\nstore_endpoint = "{url}"\nstore_auth_file = "store.auth"\nstore_ca_file = "{ca_file}"\n\n'
    path = folder / "course.toml"
    path.write_text(text[:at] + named + text[at:])
    return path


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint_in_minio_and_leaves_nothing_there(tmp_path: Path) -> None:
    needed()
    folder = tmp_path / "run"
    with minio_server(tmp_path / "minio", tls=True) as server:
        assert server.ca_file is not None
        key = server.course_key("tests")
        (tmp_path / "store.auth").write_text(f"{key.access_key}:{key.secret_key}")
        course = course_file(tmp_path, server.place.url, server.ca_file)
        root = client(server.place, Key(server.access_key, server.secret_key))

        def objects() -> dict[str, list[str]]:
            found = {one.name: root.list_objects(one.name, recursive=True) for one in root.list_buckets()}
            return {name: [str(one.object_name) for one in listed] for name, listed in found.items()}

        source = EXAMPLES / "mnist_train"
        coordinator = start("run", source, "--sandbox", "process", "--course", course, *TWICE, "--out", folder)
        deadline = time.monotonic() + WAIT_S
        while not any("/checkpoint-" in one for one in objects().get("course.tests", [])):
            assert time.monotonic() < deadline, "the first checkpoint"
            time.sleep(0.1)
        coordinator.kill()
        coordinator.communicate()
        os.kill(json.loads((folder / "servers.json").read_text())["pid"], signal.SIGKILL)
        assert len(objects()) == 2, "the course's bucket and the run's"

        done = pipeline("resume", folder, out=folder)

        assert done.code == 0, done.output
        assert done.result["outcome"] == "passed"
        assert max(worker["activations"] for worker in done.result["workers"]) == 2
        assert objects() == {"course.tests": []}
        assert key.secret_key not in done.output
