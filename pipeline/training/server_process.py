"""The parameter server of a run: a process of the course's, started, asked and ended by the coordinator."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from pipeline.backends.servers import StoreAccess
from pipeline.embedded.processes import bound_to_parent, own_environment, own_module
from pipeline.embedded.sockets import remove_socket_folder, socket_folder
from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.kinds.train import TrainJob
from pipeline.run import Run
from pipeline.settings import Limits
from pipeline.training.checkpoints import FINAL, INITIAL, version_name
from pipeline.training.control_client import ControlClient
from pipeline.training.execution import Memory, WorkerState
from pipeline.training.material import checked
from pipeline.training.server_settings import BucketCheckpoints, Grant, ServerSettings
from pipeline.training.status import ServerStatus

START_S = 60.0
STOP_S = 30.0
NO_LOSSES = 2**53


class ServerProcess:
    """Starts the server on entering, from its newest checkpoint where there is one; ends it on leaving.

    A coordinator that is killed takes the server with it: nobody else could use it, and it would stay for ever.
    """

    def __init__(self, run: Run, memory: Memory, access: StoreAccess) -> None:
        self.run = run
        self.memory = memory
        self.access = access
        self.folder = server_folder(run)
        self.socket: Path
        self.control: ControlClient
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.keep_status()
        self.end()

    def start(self) -> None:
        """Returns when the server answers. Raises InfrastructureError where it does not."""
        end_recorded(self.memory)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = socket_folder(self.folder)
        self.socket, control = sockets / "workers.sock", sockets / "control.sock"
        self.control = ControlClient(control)
        ready, config = self.folder / "ready.json", self.folder / "config.json"
        for leftover in (ready, self.socket, control):
            leftover.unlink(missing_ok=True)
        write_json(config, as_json(self.settings(ready, control)), mode=0o600)
        with (self.folder / "server.log").open("ab") as output:
            self.process = subprocess.Popen(
                bound_to_parent(own_module("pipeline.training.server", "--config", str(config))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=own_environment(),
                cwd="/",
                start_new_session=True,
            )
        self.memory.update(server=(self.process.pid, psutil.Process(self.process.pid).create_time()))
        self.await_ready(ready)

    def end(self) -> None:
        end_recorded(self.memory)
        if self.process is not None:
            self.process.wait()
        remove_socket_folder(self.folder)

    def settings(self, ready: Path, control: Path) -> ServerSettings:
        assignment, job = checked(self.run)
        return ServerSettings(
            socket=self.socket,
            control_socket=control,
            ready_file=ready,
            grants=tuple(grant(worker) for worker in self.memory.state.workers),
            shards=job.workers,
            mode=job.mode,
            staleness=job.staleness,
            gradients_per_update=job.gradients_per_update,
            optimiser=job.optimiser,
            learning_rate=job.force if job.algorithm == "easgd" else job.learning_rate,
            momentum=0.0 if job.algorithm == "easgd" else job.momentum,
            checkpoints=BucketCheckpoints(
                endpoint=self.access.endpoint,
                access_key=self.access.access_key,
                secret_key=SecretStr(self.access.secret_key),
                ca_file=self.access.ca_file,
                bucket=self.access.bucket,
                prefix=prefix(self.run),
            ),
            checkpoint_updates=job.checkpoint_updates,
            scored_versions=frozenset(scored_versions(job, self.memory.state.shard_steps)),
            start_wait_s=start_wait_s(assignment.limits),
        )

    def await_ready(self, ready: Path) -> None:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise InfrastructureError(
                    "the parameter server did not start", hint=f"its log is {self.folder / 'server.log'}"
                )
            time.sleep(0.02)

    def status(self) -> ServerStatus:
        """What the server knows, without the losses. Raises InfrastructureError when it does not answer."""
        return ServerStatus.model_validate(self.control.status(losses_since=NO_LOSSES))

    def keep_status(self) -> None:
        """Remembers the server's last word with all losses, for the report; nothing where it does not answer."""
        with suppress(InfrastructureError):
            self.memory.update(status=ServerStatus.model_validate(self.control.status()))

    def lost(self, worker: int) -> None:
        self.control.lost(worker=str(worker))

    def absent(self, shard: int) -> None:
        self.control.absent(shard)

    def versions(self) -> list[tuple[str, int, str]]:
        """(name, version, key) of the initial, the scored and the final parameters. Ends the training."""
        _, job = checked(self.run)
        final, at = self.control.finish(), prefix(self.run)
        scored = [one for one in scored_versions(job, self.memory.state.shard_steps) if one < final]
        return [
            ("initial", 0, f"{at}/{INITIAL}"),
            *((f"checkpoint-{one}", one, f"{at}/{version_name(one)}") for one in scored),
            ("final", final, f"{at}/{FINAL}"),
        ]


def start_wait_s(limits: Limits) -> float:
    """How long barriers wait for a worker that has not come yet.

    A part of an activation's time: in a pool that is too small, workers that only waited for the one in the queue
    would hand back, queue up themselves, and be waited for in their turn.
    """
    return min(limits.start_s, limits.timeout_s / 4)


def server_folder(run: Run) -> Path:
    return run.private / "parameter-server"


def release(run: Run) -> None:
    """Ends what a killed coordinator left, where no kernel has done it. Harmless where there is nothing."""
    if run.execution_file.exists():
        end_recorded(Memory(run))
    remove_socket_folder(server_folder(run))


def grant(worker: WorkerState) -> Grant:
    return Grant(id=str(worker.number), token=SecretStr(worker.token), shard=worker.number)


def prefix(run: Run) -> str:
    return f"training/{run.record.run}"


def scored_versions(job: TrainJob, shard_steps: tuple[int, ...]) -> list[int]:
    """Evenly spaced versions between the first and the last, as many as the assignment asks for."""
    pushes = [-(-steps // job.update_interval) for steps in shard_steps]
    total = max(pushes) if job.mode == "sync" and not job.gradients_per_update else sum(pushes)
    if job.gradients_per_update:
        total //= job.gradients_per_update
    count = job.scored_checkpoints
    return sorted({total * part // (count + 1) for part in range(1, count + 1)} - {0, total})


def end_recorded(memory: Memory) -> None:
    """Ends the server that this state recorded, and no other process that has its number by now."""
    if memory.state.server is None:
        return
    number, started = memory.state.server
    try:
        process = psutil.Process(number)
        if abs(process.create_time() - started) < 1:
            process.terminate()
            process.wait(STOP_S)
    except psutil.TimeoutExpired:
        process.kill()
    except psutil.NoSuchProcess:
        pass
    memory.update(server=None)


def as_json(settings: ServerSettings) -> dict[str, Any]:
    """The settings with their secrets, for a file that only the server reads."""
    values = settings.model_dump(mode="json")
    values["grants"] = [
        {"id": one.id, "token": one.token.get_secret_value(), "shard": one.shard} for one in settings.grants
    ]
    if isinstance(settings.checkpoints, BucketCheckpoints):
        values["checkpoints"]["secret_key"] = settings.checkpoints.secret_key.get_secret_value()
    return values
