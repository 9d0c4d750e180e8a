"""Stands for a real OpenWhisk: a process of its own, limits of the standalone server, TLS, and no sandbox of ours.

Containers are plain processes of this checkout's runner, whichever image is asked for, and reach what TCP reaches.
`python -m support.real_openwhisk STATE` reads {"code", "certificate", "key", "settings"} from standard input and prints
{"http", "https", "auth"} when it answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frame.processes import Processes

from pipeline.embedded.openwhisk.containers import ContainerSpec
from pipeline.embedded.openwhisk.server import OpenWhisk
from pipeline.embedded.openwhisk.settings import Settings
from pipeline.practice import MNIST_TRAIN
from pipeline.settings import Course, Servers
from support import plain_maker
from support.runs import COURSE

ASSIGNMENT = MNIST_TRAIN.model_copy(update={"checks": MNIST_TRAIN.checks[:3]})
TESTS = Path(__file__).resolve().parents[1]
STANDALONE = {"invocations_per_minute": 60, "concurrent_invocations": 30}


@dataclass(frozen=True)
class RealOpenWhisk:
    """A running one. `certificate` is its own authority's."""

    process: subprocess.Popen[Any]
    http: str
    https: str
    auth: str
    certificate: Path


def certificate(folder: Path, name: str = "openwhisk") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key; needs openssl."""
    made = folder / f"{name}.pem", folder / f"{name}.key"
    command = [shutil.which("openssl") or "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", made[0], "-keyout", made[1]], check=True, capture_output=True, timeout=60)
    return made


def start(processes: Processes, folder: Path, *, code: Path | None = None, **settings: Any) -> RealOpenWhisk:
    folder.mkdir(parents=True, exist_ok=True)
    public, private = certificate(folder)
    process = processes.start(
        [sys.executable, "-m", "support.real_openwhisk", str(folder / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    assert process.stdin is not None and process.stdout is not None
    config = {"code": str(code or ""), "certificate": str(public), "key": str(private), "settings": settings}
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    ready = json.loads(process.stdout.readline())
    return RealOpenWhisk(process, ready["http"], ready["https"], ready["auth"], public)


def course(folder: Path, there: RealOpenWhisk, **servers: Any) -> Course:
    """The practice assignment without what cannot be measured there, on that OpenWhisk."""
    auth = folder / "auth"
    auth.write_text(servers.pop("auth", there.auth) + "\n")
    auth.chmod(0o600)
    settings = {"apihost": there.https, "ca_file": there.certificate, "auth_file": auth, "advertise": "127.0.0.1"}
    given = Servers.model_validate(settings | {"registry": "registry.invalid:5000"} | servers)
    return Course(name="c", assignments=(ASSIGNMENT,), servers=given, cache=folder / "cache")


def course_file(folder: Path, key: str, *, workers: int, **servers: str) -> Path:
    """The tests' course on an OpenWhisk of that key; what it cannot measure is not checked."""
    auth = folder / "auth"
    auth.write_text(key + "\n")
    text = COURSE.read_text().partition('[[assignments.checks]]\nname = "peak-memory"')[0]
    # the more share the steps, the more rounds make them enough
    text = text.replace("workers = 2", f"workers = {workers}").replace("epochs = 1", f"epochs = {max(1, workers - 1)}")
    text = text.replace("passed_from = 90", "passed_from = 85")
    text = text.replace("timeout_s = 60", "timeout_s = 60\nstart_s = 8")
    settings = {"auth_file": str(auth), "advertise": "127.0.0.1", "registry": "registry.invalid:5000"} | servers
    lines = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
    path = folder / "course.toml"
    path.write_text(f"{text}\n[servers]\n{lines}")
    return path


class AnyImage(plain_maker.PlainMaker):
    """Every image is the runner with one submission's code."""

    def __init__(self, code: str) -> None:
        super().__init__({})
        # torch takes far more addresses than memory
        plain_maker.SLACK = 2**44
        variables = [f"PYTHONPATH={TESTS.parent}", f"RUNNER_CODE={code}", "RUNNER_BIND=127.0.0.1"]
        self.command = ["/usr/bin/env", *variables, sys.executable, "-m", "runner"]

    async def create(self, spec: ContainerSpec) -> plain_maker.PlainContainer:
        self.images, self.kinds = {spec.image or "": self.command}, self.command
        return await super().create(spec)


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()


async def serve(state: Path, config: dict[str, Any]) -> None:
    service = OpenWhisk(state, AnyImage(config["code"]), Settings(**(STANDALONE | config["settings"])))
    await service.start()
    port = await service.serve("127.0.0.1", 0)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, inward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inward), pump(inside, writer), return_exceptions=True)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["certificate"], config["key"])
    front = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    guest = service.namespaces.find("guest")
    assert guest is not None
    https = f"https://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    print(json.dumps({"http": f"http://127.0.0.1:{port}", "https": https, "auth": guest.auth}), flush=True)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    await service.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.load(sys.stdin)))
