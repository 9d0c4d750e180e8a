"""Runs the pages of a course under gunicorn: `python -m pipeline.web.server COURSE --host H --port P`."""

from __future__ import annotations

import argparse
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from pipeline.backends.choose import choose_builds
from pipeline.embedded.die_with_parent import die_with_parent
from pipeline.errors import PipelineError
from pipeline.submissions.folder import CourseFolder
from pipeline.web.app import THREADS, create_app

STALLED_S = 30
"""So long a client may send or take nothing before its connection is closed."""


class Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, course: CourseFolder, host: str, port: int, url: str) -> None:
        self.course, self.host, self.port, self.url = course, host, port, url
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": [f"{self.host}:{self.port}"],
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "worker_connections": 4 * THREADS,
            "graceful_timeout": 5,
            "timeout": 120,
            "control_socket_disable": True,
            "proc_name": "course-pages",
            "loglevel": "warning",
            "post_fork": begin,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        secure = self.url.startswith("https://")
        return create_app(self.course, choose_builds(self.course, self.url), secure=secure)


def begin(_arbiter: Any, worker: Any) -> None:
    """What is accepted takes the bound of its listener: a thread waits for nobody for ever."""
    die_with_parent()
    for listener in worker.sockets:
        for kind in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.setsockopt(socket.SOL_SOCKET, kind, struct.pack("ll", STALLED_S, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description="The pages of a course.")
    parser.add_argument("course", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", required=True, help="where browsers find the pages")
    given = parser.parse_args()
    try:
        Application(CourseFolder.open(given.course), given.host, given.port, given.url).run()
    except PipelineError as error:
        sys.exit(f"{error.message}\n{error.hint}")


if __name__ == "__main__":
    main()
