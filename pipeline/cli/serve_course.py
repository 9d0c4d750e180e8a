"""`pipeline serve --course DIR`: a course without Jenkins. Pushes are graded on this machine, pages show it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pipeline.backends.choose import choose_builds
from pipeline.cli.output import counted, output, styled
from pipeline.embedded.processes import bound_to_parent, own_environment, own_module
from pipeline.errors import InfrastructureError, UsageError
from pipeline.files import machine_fault
from pipeline.submissions.alerts import alerting
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.dispatching import dispatch, only_dispatcher
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.hook_server import answering_hooks
from pipeline.submissions.spool import Spool
from pipeline.web.access import staff_token

START_S = 30.0
STOP_S = 15.0
AGAIN_S = 2.0
"""Until a process that has ended by itself is started again."""


def serve_course(folder: Path, host: str, port: int, url: str | None, slots: int | None, stop: threading.Event) -> None:
    """Until `stop` is set. Builds that run then stop in order, and go on at the next start."""
    course = CourseFolder.open(folder)
    console = output()
    address = url or f"http://{host}:{port}"
    number = slots or max(1, (os.cpu_count() or 1) // 2)

    def complain(said: str) -> None:
        console.print(styled(f"to be tried again: {said}"))

    with (
        only_dispatcher(course),
        answering_hooks(course),
        pages(course, host, port, address, complain),
        alerting(course, complain),
    ):
        dispatcher = Dispatcher(course, Spool(course.spool), choose_builds(course, address), Settings(number))
        announce(console, course, address, number)
        dispatch(dispatcher, stop, complain)
        running = sum(one.state == "started" for one in Spool(course.spool).active())
        if running:
            console.print(styled(f"stopping {counted(running, 'build')}; going on at the next start"))
        dispatcher.pause()
        for said in dispatcher.troubles:
            console.print(styled(f"did not stop: {said}"))
        # pushers who follow are told, and their pushes end well, before the pages go
        course.closing_file.touch()


def announce(console: Console, course: CourseFolder, address: str, slots: int) -> None:
    settings = course.course()
    console.print(styled(f"course     {settings.title or settings.name}, builds at a time: {slots}"))
    console.print(styled(f"pages      {address}"))
    token = staff_token(course)
    another = f"pipeline course staff-token {course.folder}  (another link, in place of the first)"
    console.print(styled(f"staff      {f'{address}/enter/{token}  (shown this once)' if token else another}"))
    console.print(styled(f"students   pipeline course add-student {course.folder} NAME"))
    console.print(styled("Ctrl-C ends it."))


@contextmanager
def pages(course: CourseFolder, host: str, port: int, url: str, complain: Callable[[str], None]) -> Iterator[None]:
    """The process of the pages. Raises InfrastructureError where they do not answer."""
    refuse_taken(host, port)
    log_file = course.folder / "pages.log"
    arguments = [str(course.folder), "--host", host, "--port", str(port), "--url", url]
    kept = KeptProcess("the pages", own_module("pipeline.web.server", *arguments), log_file, complain)
    try:
        await_answer(kept.process, host, port, log_file)
        kept.watch()
        yield
    finally:
        kept.end()


class KeptProcess:
    """A process that is started again where it ends by itself: one of a whole course's, killed for memory say."""

    def __init__(self, name: str, command: list[str], log_file: Path, complain: Callable[[str], None]) -> None:
        self.name, self.command, self.log_file, self.complain = name, command, log_file, complain
        self.ending, self.starting = threading.Event(), threading.Lock()
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                bound_to_parent(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own_environment(),
                start_new_session=True,
            )

    def watch(self) -> None:
        threading.Thread(target=self.keep, name=self.name, daemon=True).start()

    def keep(self) -> None:
        while True:
            code = self.process.wait()
            if self.ending.is_set():
                return
            self.complain(f"{self.name} ended by themselves with code {code}; their log is {self.log_file}")
            self.ending.wait(AGAIN_S)
            with self.starting:
                if self.ending.is_set():
                    return
                try:
                    self.process = self.start()
                except OSError as error:
                    self.complain(machine_fault(error).message)

    def end(self) -> None:
        self.ending.set()
        with self.starting:
            process = self.process
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be served: {error.strerror}", hint="name another --pages-port or --host"
            ) from None


def await_answer(process: subprocess.Popen[bytes], host: str, port: int, log_file: Path) -> None:
    waiting = threading.Event()
    for _ in range(int(START_S / 0.1)):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0:
                return
        waiting.wait(0.1)
    raise InfrastructureError("the pages of the course did not start", hint=f"their log is {log_file}")
