"""What a student starts in other terminals, and curl: `-d` sends JSON under the type of a form."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from frame.processes import Processes

PIPELINE = [sys.executable, "-m", "pipeline"]
PATIENCE_S = 120.0
Shell = subprocess.CompletedProcess[str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run(*arguments: str | Path) -> Shell:
    """`pipeline ARGUMENTS` to its end."""
    command = [*PIPELINE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def curl_d(url: str, data: str, **headers: str) -> requests.Response:
    """`curl -d DATA URL`."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return requests.post(url, data=data, headers=kind | headers, timeout=PATIENCE_S)


def until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """Waits for what the process brings about; its output is the message where it ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def start(processes: Processes, command: list[str], port: int, **variables: str) -> str:
    """Starts a server, and returns its address once it listens."""
    process = processes.start(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | variables
    )
    until(process, lambda: listens(port))
    return f"http://127.0.0.1:{port}"


def runner(processes: Processes) -> str:
    """`PORT=... python -m runner`."""
    port = free_port()
    return start(processes, [sys.executable, "-m", "runner"], port, PORT=str(port))


def parameter_server(processes: Processes, *options: str) -> str:
    port = free_port()
    where = ["parameter-server", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    return start(processes, [*PIPELINE, *where, *options], port)


def file_server(processes: Processes, folder: Path) -> str:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    return start(processes, command, port)


def serve(processes: Processes, folder: Path, *further: str) -> tuple[subprocess.Popen[str], Path]:
    """`pipeline serve` on free ports, once its ready file is there; the process and that file."""
    ready = folder / "servers.json"
    options = ["--port", "0", "--store-port", "0", "--state", str(folder / "state"), "--ready-file", str(ready)]
    process = processes.start(
        [*PIPELINE, "serve", *options, *further], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until(process, ready.exists)
    return process, ready


def read(ready: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ready.read_text())
    return told
