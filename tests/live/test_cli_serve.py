"""`pipeline serve` as another program sees it: ready when its file is there, gone when told, keys in the file alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support.by_hand import PATIENCE_S, PIPELINE, serve


@pytest.fixture
def served(processes: Processes, tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """Servers on free ports; the process and its ready file."""
    return serve(processes, tmp_path)


def test_it_serves_until_told_and_leaves_nothing(served: tuple[subprocess.Popen[str], Path]) -> None:
    process, ready = served
    assert ready.stat().st_mode & 0o777 == 0o600
    told: dict[str, Any] = json.loads(ready.read_text())
    assert set(told) == {"openwhisk", "store", "inside"}
    user, key = told["openwhisk"]["auth"].split(":")
    actions = requests.get(f"{told['openwhisk']['apihost']}/api/v1/namespaces/_/actions", auth=(user, key), timeout=60)
    assert (actions.status_code, actions.json()) == (200, [])

    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, shown
    assert not ready.exists()
    assert key not in shown and told["store"]["secret_key"] not in shown
    with pytest.raises(requests.ConnectionError):
        requests.get(told["openwhisk"]["apihost"], timeout=60)


def test_what_is_put_is_read_by_its_url(served: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> None:
    _, ready = served
    file = tmp_path / "rows.tar.gz"
    file.write_bytes(os.urandom(1000))
    command = [*PIPELINE, "data", "put", str(file), "--servers", str(ready), "--bucket", "course", "--json"]
    put = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert put.returncode == 0, put.stderr
    told = json.loads(put.stdout)
    assert told["bucket_name"] == "course" and told["object_name"].endswith(".tar.gz")
    assert requests.get(told["url"], timeout=60).content == file.read_bytes()


def test_a_port_that_is_taken_is_named(served: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> None:
    _, ready = served
    port = json.loads(ready.read_text())["openwhisk"]["apihost"].rpartition(":")[2]
    command = [*PIPELINE, "serve", "--port", port, "--store-port", "0", "--state", str(tmp_path / "other")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert refused.returncode == 3
    assert port in refused.stderr and "Traceback" not in refused.stderr
