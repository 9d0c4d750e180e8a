"""Runs a parameter server: Flask under gunicorn, one process, and the coordinator's part on a socket of its own.

python -m pipeline.training.server --config FILE
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.serving import make_server

from pipeline.embedded.die_with_parent import die_with_parent
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.files import write_json
from pipeline.training.checkpoints import BucketStore, CheckpointStore, FolderStore
from pipeline.training.control_routes import make_control_app
from pipeline.training.core import ParameterServer
from pipeline.training.server_settings import BucketCheckpoints, FolderCheckpoints, ServerSettings, read_settings
from pipeline.training.worker_routes import make_app

SWEEP_S = 0.2
KEEP_ALIVE_S = 120
STAY_S = 0.1
GRACE_S = 20
OWNER_ONLY = 0o077


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads; a stop lets waiting pushes go first, or they would hold it up.

    A thread stays with its connection for a moment: the next push then needs no wake-up of the main thread.
    """

    def handle(self, conn: Any) -> Any:
        kept = super().handle(conn)
        while kept is True and self.alive and not self.cfg.is_ssl and readable(conn.sock, STAY_S):
            kept = super().handle(conn)
        return kept

    def handle_exit(self, sig: int, frame: Any) -> None:
        # a stop of the whole group comes twice, and an Event that is set within its own `set` waits for itself for ever
        if self.alive:
            super().handle_exit(sig, frame)
            self.app.stopping.set()


class Application(BaseApplication):  # type: ignore[misc]
    """The state lives in gunicorn's one worker process; should that die, the next resumes from the checkpoint."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        values = {
            "bind": binds(settings),
            "workers": 1,
            "worker_class": Worker,
            "threads": settings.threads,
            "worker_connections": 4 * settings.threads + 64,
            "keepalive": KEEP_ALIVE_S,
            "graceful_timeout": GRACE_S,
            "timeout": 120,
            "umask": OWNER_ONLY,
            "control_socket_disable": True,
            "proc_name": "parameter-server",
            "loglevel": "warning",
            # a killed server must not write checkpoints beside the one that resumes
            "post_fork": lambda _arbiter, _worker: die_with_parent(),
            "post_worker_init": self.listening,
            "worker_exit": self.stopped,
            "certfile": str(settings.certificate) if settings.certificate else None,
            "keyfile": str(settings.private_key) if settings.private_key else None,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        self.server = ParameterServer(self.settings, open_store(self.settings))
        self.stopping.clear()
        threading.Thread(target=self.sweep, name="sweep", daemon=True).start()
        if self.settings.control_socket is not None:
            serve_control(self.server, self.settings.control_socket)
        return make_app(self.server)

    def sweep(self) -> None:
        while not self.stopping.wait(SWEEP_S):
            self.server.sweep()
        self.server.close()

    def listening(self, worker: Any) -> None:
        addresses = [one.sock.getsockname() for one in worker.sockets]
        told = {"pid": os.getppid(), "worker_pid": os.getpid(), "addresses": addresses}
        logging.getLogger(__name__).warning("the parameter server listens on %s", addresses)
        if self.settings.ready_file is not None:
            write_json(self.settings.ready_file, told, mode=0o600)

    def stopped(self, _arbiter: Any, _worker: Any) -> None:
        self.stopping.set()
        self.server.close()


def readable(connection: socket.socket, timeout_s: float) -> bool:
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(1000 * timeout_s))


def binds(settings: ServerSettings) -> list[str]:
    addresses = [] if settings.socket is None else [f"unix:{settings.socket}"]
    return addresses if settings.host is None else [*addresses, f"{settings.host}:{settings.port}"]


def open_store(settings: ServerSettings) -> CheckpointStore | None:
    kept = settings.checkpoints
    if isinstance(kept, FolderCheckpoints):
        return FolderStore(kept.folder)
    if isinstance(kept, BucketCheckpoints):
        from pipeline.backends.store.s3 import connect  # a server by hand starts sooner without

        address = kept.endpoint.removeprefix("https://").removeprefix("http://")
        secure = kept.endpoint.startswith("https://")
        pair = (kept.access_key, kept.secret_key.get_secret_value())
        bucket = connect(address, *pair, kept.bucket, secure=secure, ca_file=kept.ca_file)
        return BucketStore(bucket, kept.prefix)
    return None


def serve_control(server: ParameterServer, path: Path) -> None:
    """Answers the coordinator in threads of its own, so that busy workers cannot keep it waiting."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    control = make_server(f"unix://{path}", 0, make_control_app(server), threaded=True, fd=listener.detach())
    threading.Thread(target=control.serve_forever, name="control", daemon=True).start()


def serve(settings: ServerSettings) -> int:
    """Serves until SIGTERM or SIGINT, which keeps a checkpoint first; the exit code. Needs the main thread.

    Raises InfrastructureError where it cannot start.
    """
    try:
        Application(settings).run()
    except SystemExit as ended:
        if ended.code not in (0, None):
            raise InfrastructureError(
                "the parameter server could not start or has failed", hint="its log above says why"
            ) from None
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description="A parameter server, as the execute stage starts it.")
    parser.add_argument("--config", type=Path, required=True, help="settings as JSON")
    try:
        serve(read_settings(parser.parse_args().config))
    except PipelineError as error:
        faults = "".join(f"\n  {fault}" for fault in error.faults)
        sys.exit(f"{error.message}{faults}\n{error.hint}")


if __name__ == "__main__":
    main()
