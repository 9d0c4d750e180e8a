"""The pipeline's side of the embedded servers: start or attach to their process, ask it, end it, reap what is left."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from pipeline.embedded.contract import (
    DockerImage,
    Forward,
    Forwarded,
    InvocationKey,
    Invoked,
    Invoking,
    Pool,
    ProcessImage,
    Reach,
    Usage,
)
from pipeline.embedded.processes import Recorded, own_environment, own_module
from pipeline.embedded.reaping import reap_children
from pipeline.embedded.settings import EmbeddedSettings, Ready, StoreKeys, write_private
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError
from pipeline.files import write_json

START_S, STOP_S, ANSWER_S = 60.0, 30.0, 60.0


class Embedded:
    """A running process of embedded servers. Every method raises InfrastructureError where it does not answer."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    @property
    def apihost(self) -> str:
        return self.ready.openwhisk.apihost

    @property
    def auth(self) -> str:
        return self.ready.openwhisk.auth

    @property
    def namespace(self) -> str:
        return self.ready.namespace

    def course_store(self) -> StoreKeys:
        return self.one_here(self.ready.store)

    def run_store(self) -> StoreKeys:
        return self.one_here(self.ready.run_store)

    def one_here(self, keys: StoreKeys | None) -> StoreKeys:
        if keys is None:
            raise InfrastructureError("these servers have no store of their own", hint="ask servers.store_endpoint")
        return keys

    def status(self) -> dict[str, Any]:
        return dict(self.ask("GET", "/status"))

    def install(self, image: ProcessImage | DockerImage) -> None:
        """Makes an image known by its reference."""
        write_private(State(self.ready.state).image_file(image.reference), image)

    def set_reach(self, reach: Reach) -> dict[str, str]:
        """Lets one action's containers reach these services only; service -> the host:port that they must use."""
        return dict(self.ask("PUT", "/reach", reach.model_dump(mode="json")))

    def open_forwarder(self, forward: Forward) -> Path:
        """The forwarder's Unix socket; asking again with the same name replaces its rules and keeps its counts."""
        return Path(self.ask("POST", "/forwarder", forward.model_dump(mode="json"))["socket"])

    def forwarder_counts(self, name: str) -> Forwarded:
        """Nothing passed on, where there is no such forwarder."""
        return Forwarded.model_validate(self.ask("GET", f"/forwarder/{quote(name, safe='')}"))

    def close_forwarder(self, name: str) -> None:
        """Harmless where there is none."""
        self.ask("DELETE", f"/forwarder/{quote(name, safe='')}")

    def open_invocations(self, rule: Invoking) -> InvocationKey:
        """A key to OpenWhisk for student code; the same name again replaces its rules and keeps key and counts."""
        return InvocationKey.model_validate(self.ask("POST", "/invocations", rule.model_dump(mode="json")))

    def invoked(self, name: str) -> Invoked:
        """Nothing, where there is no such key."""
        return Invoked.model_validate(self.ask("GET", f"/invocations/{quote(name, safe='')}"))

    def close_invocations(self, name: str) -> None:
        """Takes the key back. Harmless where there is none."""
        self.ask("DELETE", f"/invocations/{quote(name, safe='')}")

    def usage(self, namespace: str | None = None) -> list[Usage]:
        """What each activation of the namespace used, measured from outside."""
        query = urlencode({"namespace": namespace or self.namespace})
        return [Usage.model_validate(one) for one in self.ask("GET", f"/usage?{query}")]

    def pool(self) -> Pool:
        return Pool.model_validate(self.ask("GET", "/pool"))

    def cancel(self, namespace: str | None = None) -> None:
        """Ends every running and waiting activation of the namespace."""
        self.ask("POST", "/cancel", {"namespace": namespace or self.namespace})

    def stop(self, wait_s: float = STOP_S) -> None:
        """Ends the servers and all that they started; what is left after `wait_s` is killed. Harmless twice."""
        process = Recorded(pid=self.ready.pid, started=self.ready.started)
        try:
            self.ask("POST", "/stop", {})
        except InfrastructureError:
            process.signal(signal.SIGTERM)
        if not process.gone(wait_s):
            process.end()
        reap_children(State(self.ready.state))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return control(self.ready.control, method, path, body)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(str(self.path))


def control(path: Path, method: str, target: str, body: Any = None) -> Any:
    """One request to the control API. Raises InfrastructureError, also for what the API refuses."""
    connection = UnixConnection(path)
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, target, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content, status = answer.read(), answer.status
        value = json.loads(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InfrastructureError(
            f"the embedded servers do not answer {method} {target.partition('?')[0]}: {error}",
            hint="`pipeline resume` starts them again",
        ) from error
    finally:
        connection.close()
    if status >= 400:
        raise InfrastructureError(str(value.get("error", status)), hint=str(value.get("hint", "")))
    return value


def start(state: Path, settings: EmbeddedSettings) -> Embedded:
    """Starts the process of `state` in a session of its own, or attaches to the one that runs there already.

    Returns when all servers answer. Raises InfrastructureError with the log's last line where they do not.
    """
    paths = State(state.resolve())
    paths.create()
    running = attach(paths.ready_file)
    if running is not None:
        return running
    write_private(paths.settings_file, settings)
    process = spawn(paths)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        code = process.poll()
        running = attach(paths.ready_file)
        if running is not None:
            if running.ready.pid != process.pid:  # it must not take the folder when the other one has left it
                process.kill()
                process.wait()
            return running
        if code == paths.TAKEN:  # another one starts there, or one is just being reaped
            process = spawn(paths)
        elif code is not None:
            raise failure(paths, "ended")
        time.sleep(0.02)
    process.terminate()
    raise failure(paths, f"were not ready within {START_S:.0f} s")


def spawn(paths: State) -> subprocess.Popen[bytes]:
    with paths.log_file.open("ab") as log:
        return subprocess.Popen(
            own_module("pipeline.embedded", "--state", str(paths.folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=own_environment(),
            cwd="/",
            start_new_session=True,
        )


def failure(paths: State, what: str) -> InfrastructureError:
    lines = paths.log_file.read_text(errors="replace").strip().splitlines()
    reason = lines[-1][:500] if lines else "they said nothing"
    return InfrastructureError(f"the embedded servers {what}: {reason}", hint=f"the whole log is {paths.log_file}")


def attach(servers_file: Path) -> Embedded | None:
    """The running servers that the file names; None where there is no such file or they do not run any more."""
    ready = read_ready(servers_file)
    if ready is None or Recorded(pid=ready.pid, started=ready.started).find() is None:
        return None
    embedded = Embedded(ready)
    try:
        embedded.status()
    except InfrastructureError:
        return None
    return embedded


def read_ready(path: Path) -> Ready | None:
    try:
        return Ready.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InfrastructureError(f"{path} is not a file of the embedded servers", hint="remove it") from error


def ensure(servers_file: Path, state: Path, settings: EmbeddedSettings) -> Embedded:
    """The servers of `servers_file`, where they run; else those of `state`, started, and the file written anew."""
    running = attach(servers_file)
    if running is None:
        running = start(state, settings)
        write_private(servers_file, running.ready)
    return running


def reap(servers_file: Path) -> None:
    """Ends the servers that a file names, with all that they left, whether they answer or not. Harmless twice."""
    ready = read_ready(servers_file)
    if ready is not None:
        Embedded(ready).stop()


def write_shared(path: Path, ready: Ready) -> None:
    """The file of `pipeline serve --ready-file`: addresses and keys, 0600."""
    shared: Mapping[str, Any] = ready.shared()
    write_json(path, shared, mode=0o600)
