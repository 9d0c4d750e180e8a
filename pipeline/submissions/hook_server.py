"""Does the work of git's hooks in the process of the dispatcher, each push in a thread: no hook starts from nothing.

The other end is `hook_client.py`, whose docstring has the protocol. Only the course's own user may use the socket.
"""

from __future__ import annotations

import json
import os
import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.hook_client import UPDATES_BYTES
from pipeline.submissions.hooks import HOOKS, Push
from pipeline.submissions.places import Places
from pipeline.submissions.spool import Spool
from pipeline.text import printable

MOST = 256
"""Pushes at a time; whoever comes then has a process of its own."""
LONGEST_PATH = 100
"""bytes; sun_path has 104 on macOS, 108 on Linux"""
STOP_S = 3.0
SILENT_S = 10.0
"""So long a question may take, and a pusher's side may read nothing of what is said."""


class Connected:
    """The pusher at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.gone = select.poll()
        self.gone.register(connection, select.POLLIN)

    def say(self, line: str) -> None:
        """What a build server or a run says of a student's work goes to a terminal."""
        for one in printable(line).split("\n"):
            self.connection.sendall(f"+{one}\n".encode(errors="replace"))

    def wait(self, seconds: float) -> None:
        """After its question a client sends nothing: what is to be read is its end. Raises BrokenPipeError.

        It is told that the server is there; one that has gone may show in that only.
        """
        self.connection.sendall(b".\n")
        if self.gone.poll(seconds * 1000):
            raise BrokenPipeError


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, course: CourseFolder) -> None:
        self.course, self.places = course, Places(Spool(course.spool))
        self.busy = 0
        self.counting = threading.Lock()
        super().__init__(path, Answer)

    def server_bind(self) -> None:
        """Nobody else's from the first moment, whatever may be entered above it."""
        usual = os.umask(0o177)
        try:
            super().server_bind()
        finally:
            os.umask(usual)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there is one; it is taken for as long as the context lasts."""
        with self.counting:
            is_free = self.busy < MOST
            self.busy += is_free
        try:
            yield is_free
        finally:
            with self.counting:
                self.busy -= is_free

    def handle_error(self, *_: object) -> None:
        """The client finds no answer, and the hook's own process says what is wrong."""


class Answer(socketserver.StreamRequestHandler):
    """One hook of one push."""

    server: Server
    timeout = SILENT_S

    def handle(self) -> None:
        with self.server.place() as is_free:
            if is_free:
                self.answer()

    def answer(self) -> None:
        question = json.loads(self.rfile.readline(16 * UPDATES_BYTES))
        name, folder, student, assignment = question["arguments"]
        if folder != str(self.server.course.folder):
            return
        self.connection.sendall(b".\n")
        push = Push(student, assignment, question["told"], question["variables"])
        code = HOOKS[name](self.server.course, self.server.places, push, Connected(self.connection))
        self.connection.sendall(f"={code}\n".encode())


@contextmanager
def answering_hooks(course: CourseFolder) -> Iterator[Server | None]:
    """A thread that answers for as long as the context lasts; then whoever is followed has a moment to be told.

    The caller holds the dispatcher's lock: what lies in the socket's place is a killed one's. None where the path is
    too long for a socket: hooks then have processes of their own.
    """
    path = course.hook_socket
    if len(str(path).encode()) > LONGEST_PATH:
        yield None
        return
    path.unlink(missing_ok=True)
    with Server(str(path), course) as server:
        threading.Thread(target=server.serve_forever, name="hooks", daemon=True).start()
        try:
            yield server
        finally:
            path.unlink(missing_ok=True)
            server.shutdown()
            deadline = time.monotonic() + STOP_S
            while server.busy and time.monotonic() < deadline:
                time.sleep(0.05)
