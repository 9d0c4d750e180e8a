"""The pages and git over http, with clients that stall, vanish, ask for too much, or come with an old token."""

from __future__ import annotations

import base64
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from frame.processes import Processes
from support.pushes import Clone, spooled
from support.submissions import ScriptedBuilds, course_folder, entry

from pipeline.git_process import MEMORY_KB
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student
from pipeline.web import server
from pipeline.web.access import renew_staff_token, staff_token
from pipeline.web.app import create_app
from pipeline.web.bounds import Bound

WAIT_S = 60.0


class Pages:
    """The pages' own process, and ada's clone that pushes to it."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.course: CourseFolder = course_folder(folder)
        self.token, _ = add_student(self.course, "ada")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        arguments = [str(self.course.folder), "--host", "127.0.0.1", "--port", str(self.port), "--url", "http://pages"]
        self.log = folder / "pages.log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "pipeline.web.server", *arguments]
            self.process = processes.start(command, stdout=log, stderr=log)
        self.wait(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0)
        self.clone = Clone(folder / "clone", self.course.repository("ada", "mnist-train"))
        self.url = f"http://ada:{self.token}@127.0.0.1:{self.port}/git/ada/mnist-train.git"

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def children(self) -> list[str]:
        """Names of what git has left running, zombies among them."""
        names: list[str] = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                names.append(one.name())
        return [name for name in names if not name.startswith(("python", "gunicorn"))]

    def send(self, head: str, body: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        proof = base64.b64encode(f"ada:{self.token}".encode()).decode()
        text = f"{head} HTTP/1.1\r\nHost: pages\r\nAuthorization: Basic {proof}\r\n"
        connection.sendall(text.encode() + body)
        return connection


@pytest.fixture
def pages(tmp_path: Path, processes: Processes) -> Pages:
    return Pages(tmp_path, processes)


def test_a_large_push_comes_in_chunks_and_git_has_bounds(pages: Pages) -> None:
    hook = pages.course.repository("ada", "mnist-train") / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("#!/bin/sh\n", "#!/bin/sh\necho at most $(ulimit -d) kB\n"))
    (pages.clone.folder / "notes.bin").write_bytes(os.urandom(3 * 2**20))
    pages.clone.git("add", "notes.bin")
    commit = pages.clone.commit("x = 1\n")
    said = pages.clone.push(pages.url, "main", PIPELINE_PUSH_FOLLOWS="1")
    assert f"at most {MEMORY_KB} kB" in said
    assert [one.new for one in spooled(pages.course)] == [commit]
    pages.wait(lambda: not pages.children())


PUSH = "POST /git/ada/mnist-train.git/git-receive-pack"
TYPE = b"Content-Type: application/x-git-receive-pack-request\r\n"
GONE = [TYPE + b"Content-Length: 100000\r\n\r\n00a0", TYPE + b"Transfer-Encoding: chunked\r\n\r\n4\r\n00a0\r\n"]


@pytest.mark.parametrize("body", GONE)
def test_who_goes_in_the_middle_leaves_no_git(pages: Pages, body: bytes) -> None:
    connection = pages.send(PUSH, body)
    pages.wait(pages.children)
    connection.close()
    pages.wait(lambda: not pages.children())


def test_who_asks_for_the_head_alone_leaves_no_git(pages: Pages) -> None:
    for _ in range(3):
        with pages.send("HEAD /git/ada/mnist-train.git/info/refs?service=git-receive-pack", b"\r\n") as connection:
            assert connection.recv(100)
    pages.wait(lambda: not pages.children())


def test_no_token_is_logged_or_seen_with_a_process(pages: Pages) -> None:
    pages.course.members_file.write_text("{")
    with pages.send(f"GET /enter/{pages.token}", b"\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 503")
    pages.wait(lambda: "members.json" in pages.log.read_text())
    assert pages.token not in pages.log.read_text()


def test_what_is_accepted_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_S", 1)
    monkeypatch.setattr(server, "die_with_parent", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.begin(None, SimpleNamespace(sockets=[listener]))
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted, pytest.raises(BlockingIOError):
                accepted.setblocking(True)
                accepted.recv(1)


def test_a_bound_is_of_all_and_of_each() -> None:
    bound = Bound(3, each=2)
    assert [bound.take("ada") for _ in range(3)] == [True, True, False]
    assert [bound.take("bob"), bound.take("eve")] == [True, False]
    bound.give_back("ada")
    assert bound.take("eve")


class Site:
    def __init__(self, folder: Path) -> None:
        self.course = course_folder(folder)
        self.app = create_app(self.course, ScriptedBuilds())
        self.token, _ = add_student(self.course, "ada")
        self.entry = entry("ada")
        Spool(self.course.spool).add(self.entry)
        self.browser = self.app.test_client()
        self.browser.get(f"/enter/{self.token}")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_live_logs_beyond_the_bound_are_asked_for_again(site: Site) -> None:
    console = site.course.console(site.entry.id)
    console.parent.mkdir(parents=True)
    console.write_text("one\n")
    address = f"/submissions/{site.entry.id}/events"
    streams = [site.browser.get(address, buffered=False) for _ in range(6)]
    assert site.browser.get(address).get_data(as_text=True) == "id: 1\ndata: one\n\nretry: 5000\n\n"
    site.browser.head(address)
    for stream in streams:
        stream.close()
    assert not site.app.config["LIVE_LOGS"].held


def test_a_pusher_too_many_reads_where_it_stands_and_goes(site: Site, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", site.course.repository("ada", "mnist-train"))
    clone.commit("x = 1\n")
    said = clone.push(PIPELINE_PUSH_FOLLOWS="briefly")
    assert "it goes on without you" in said


def test_a_new_token_ends_what_the_old_one_opened(site: Site) -> None:
    assert site.browser.get("/students/ada").status_code == 200
    add_student(site.course, "ada")
    assert site.browser.get("/students/ada").status_code == 404
    staff = site.app.test_client()
    staff.get(f"/enter/{staff_token(site.course)}")
    assert staff.get("/course").status_code == 200
    renew_staff_token(site.course)
    assert staff.get("/course").status_code == 404


def test_nobody_can_fill_the_disk_with_a_form(site: Site) -> None:
    page = site.app.test_client().post("/login", data={"file": (BytesIO(b"x" * 20000), "name")})
    assert page.status_code == 413


@pytest.mark.parametrize(
    "path", ["/students/" + "a" * 5000, "/enter/%ed%a0%80", "/enter/%00", "/submissions/{id}/report/logs/" + "a" * 5000]
)
def test_odd_names_are_nowhere(site: Site, path: str) -> None:
    assert site.browser.get(path.format(id=site.entry.id)).status_code == 404


def test_pages_are_there_while_the_settings_are_broken(site: Site) -> None:
    site.course.course_file.write_text("[")
    assert site.browser.get("/students/ada").status_code == 200
    assert site.app.test_client().get("/nowhere").status_code == 404


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere"])
def test_while_nobody_can_be_told_from_anybody_each_page_says_so_in_a_line(site: Site, path: str) -> None:
    """Also a page that is nowhere, such as the icon that each browser asks for."""
    site.course.members_file.write_text("{")
    answer = site.browser.get(path)
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")


def test_a_broken_entry_is_not_a_page_and_no_fault(site: Site) -> None:
    (site.course.spool / "active" / f"{site.entry.id}.json").write_text("{")
    answer = site.browser.get(f"/submissions/{site.entry.id}")
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")
    assert site.browser.get("/students/ada").status_code == 200
