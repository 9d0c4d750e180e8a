"""The pages of a course: who sees what, what a form needs, what a page of student's text may do."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.submissions import ScriptedBuilds, course_folder, entry
from werkzeug.test import TestResponse

from pipeline.cli.app import call
from pipeline.errors import InfrastructureError, Outcome
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.regrades import apply, regrade
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student
from pipeline.web import pages
from pipeline.web.access import staff_token
from pipeline.web.app import GIT_OF_EACH, create_app
from pipeline.web.pages import lines_as_events


class Site:
    """A course with two students, ada's submission, and browsers for whoever holds a token."""

    def __init__(self, folder: Path) -> None:
        self.course: CourseFolder = course_folder(folder)
        self.spool = Spool(self.course.spool)
        self.builds = ScriptedBuilds()
        self.app = create_app(self.course, self.builds)
        token = staff_token(self.course)
        assert token is not None
        self.tokens = {"staff": token, **{name: add_student(self.course, name)[0] for name in ("ada", "bob")}}
        self.entry = entry("ada")
        self.spool.add(self.entry)

    def browser(self, who: str | None = None) -> FlaskClient:
        client = self.app.test_client()
        if who is not None:
            assert client.get(f"/enter/{self.tokens[who]}").status_code == 302
        return client

    def console(self, text: bytes) -> None:
        path = self.course.console(self.entry.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)

    def now(self) -> Entry:
        return self.spool.get(self.entry.id)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def form(client: FlaskClient, page: str) -> dict[str, str]:
    text = client.get(page).get_data(as_text=True)
    return {"csrf": text.split('name="csrf" value="')[1].split('"')[0]}


def own_pages(site: Site) -> list[str]:
    at = f"/submissions/{site.entry.id}"
    return ["/students/ada", at, f"{at}/log", f"{at}/events", f"{at}/report/report.html"]


def test_a_token_link_sets_a_cookie_and_leaves_the_address(site: Site) -> None:
    answer = site.app.test_client().get(f"/enter/{site.tokens['ada']}")
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert site.tokens["ada"] not in cookie
    assert site.browser().get("/enter/nobody").status_code == 404


def test_a_student_sees_the_own_submissions_and_nobody_elses(site: Site) -> None:
    report = site.course.run(site.entry.id) / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<!DOCTYPE html>")
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": State.GRADED}))
    for who, status in (("ada", 200), ("staff", 200), ("bob", 404), (None, 404)):
        client = site.browser(who)
        assert [client.get(page).status_code for page in own_pages(site)] == [status] * 5, who
    assert site.browser("ada").get("/course").status_code == 404
    assert site.browser("staff").get("/course").status_code == 200


def test_a_student_sees_what_counts_and_what_is_left(site: Site) -> None:
    with site.course.course_file.open("a") as file:
        file.write('\n[[assignments.extensions]]\nstudent = "ada"\ndeadline = 2099-02-07T12:00:00Z\nattempts = 30\n')
    graded = {"state": State.GRADED, "most_points": 100.0, "ended": site.entry.arrived}
    for number, (points, outcome) in enumerate([(95.0, Outcome.PASSED), (40.0, Outcome.FAILED)], start=7):
        site.spool.add(entry("ada", number, minutes=number))
        change = {**graded, "points": points, "outcome": outcome}
        site.spool.change(entry("ada", number).id, lambda one, change=change: one.model_copy(update=change))
    page = site.browser("ada").get("/students/ada").get_data(as_text=True)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)[:5]
    late = "2 late days, 10 % of the points for each"
    assert cells == ["mnist-train", "95 of 100", "2 of 30", "2099-02-07 12:00:00 UTC", late]
    assert "2099-01-31 23:59:59 +01:00" in site.browser("bob").get("/students/bob").get_data(as_text=True)


def test_a_page_of_a_student_is_there_while_the_settings_cannot_be_read(site: Site) -> None:
    site.course.course_file.write_text("name = ")
    page = site.browser("ada").get("/students/ada")
    assert page.status_code == 200
    assert site.entry.short in page.get_data(as_text=True)


def test_a_student_who_was_taken_out_sees_nothing(site: Site) -> None:
    client = site.browser("ada")
    site.course.members_file.write_text("{}")
    assert client.get("/students/ada").status_code == 404


def test_forms_of_another_site_change_nothing(site: Site) -> None:
    client, at = site.browser("staff"), f"/submissions/{site.entry.id}"
    assert client.post(f"{at}/cancel").status_code == 403
    assert client.post(f"{at}/cancel", data={"csrf": "guessed"}).status_code == 403
    assert site.now().state is State.WAITING
    assert client.post(f"{at}/cancel", data=form(client, at)).status_code == 302
    assert site.now().state is State.REFUSED


def test_only_staff_end_a_submission_or_try_it_again(site: Site) -> None:
    at = f"/submissions/{site.entry.id}"
    student = site.browser("ada")
    for action in ("cancel", "retry"):
        assert student.post(f"{at}/{action}", data=form(student, at)).status_code == 404
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": State.PARKED, "reason": "disk"}))
    staff = site.browser("staff")
    assert "Need you" in staff.get("/course").get_data(as_text=True)
    assert staff.post(f"{at}/retry", data=form(staff, at)).status_code == 302
    assert site.now().state is State.WAITING
    assert staff.post(f"{at}/retry", data=form(staff, at)).status_code == 409


def test_staff_see_which_files_of_the_spool_cannot_be_read(site: Site) -> None:
    broken = site.spool.active_folder / f"{site.entry.id}.json"
    broken.write_text("{")
    assert broken.name in site.browser("staff").get("/course").get_data(as_text=True)


def test_a_regrade_is_told_from_what_was_pushed(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Else its owner takes its points, which do not count yet, for a grade."""

    def graded(one: Entry) -> Entry:
        return one.model_copy(update={"state": State.GRADED, "outcome": Outcome.FAILED, "points": 40.0})

    site.spool.change(site.entry.id, graded)
    (again,) = regrade(site.spool, site.entry.assignment)
    for words in ("graded again; it does not count before the staff say so", "graded again, and counts in its place"):
        pages = [site.browser("ada").get(page).get_data(as_text=True) for page in own_pages(site)[:1]]
        pages.append(site.browser("ada").get(f"/submissions/{again.id}").get_data(as_text=True))
        assert call(["queue", "list", "--all", str(site.course.folder)]) == 0
        said = f"submission {site.entry.short} {words}"
        assert all(said in text for text in [*pages, capfd.readouterr().out])
        site.spool.change(again.id, graded)
        apply(site.spool)


@pytest.mark.parametrize("state", [State.PARKED, State.GRADED])
def test_a_page_that_waits_for_nothing_does_not_load_itself_again(site: Site, state: State) -> None:
    """Its stream of events would end at once, and its script then loads the page."""
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": state}))
    text = site.browser("ada").get(f"/submissions/{site.entry.id}").get_data(as_text=True)
    assert "data-events" not in text
    assert "log.js" not in text


def test_a_running_build_is_stopped(site: Site) -> None:
    site.builds.start(site.entry)
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": State.STARTED}))
    staff, at = site.browser("staff"), f"/submissions/{site.entry.id}"
    staff.post(f"{at}/cancel", data=form(staff, at))
    assert site.builds.running == set()


def test_a_build_that_cannot_be_stopped_is_said_with_what_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Entry) -> None:
        raise InfrastructureError("process 7 did not stop", hint="kill -9 7")

    monkeypatch.setattr(site.builds, "cancel", refused)
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": State.STARTED}))
    staff, at = site.browser("staff"), f"/submissions/{site.entry.id}"
    answer = staff.post(f"{at}/cancel", data=form(staff, at))
    assert answer.status_code == 409
    text = answer.get_data(as_text=True)
    assert "is ended ungraded, but its build goes on: process 7 did not stop" in text
    assert "kill -9 7, or let it end: what it comes to does not count" in text


def test_text_of_a_student_stays_text(site: Site) -> None:
    site.console(b"<script>alert(1)</script>\n\x1b]0;title\x07\x1b[31mred\x1b[0m\nid: 9\n\n")
    client, at = site.browser("ada"), f"/submissions/{site.entry.id}"
    page = client.get(at)
    text = page.get_data(as_text=True)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nred\n" in text
    assert "alert(1)</script>" not in text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert client.get(f"{at}/log").mimetype == "text/plain"


def test_the_log_is_streamed_from_the_line_where_the_last_stream_ended(site: Site) -> None:
    site.console(b"one\ntwo\nthree\n")
    site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": State.GRADED}))
    client, at = site.browser("ada"), f"/submissions/{site.entry.id}/events"
    whole = client.get(at).get_data(as_text=True)
    assert (
        whole
        == "".join(f"id: {number}\ndata: {line}\n\n" for number, line in enumerate(("one", "two", "three"), start=1))
        + "id: 3\nevent: over\ndata: graded\n\n"
    )
    rest = client.get(at, headers={"Last-Event-ID": "2"}).get_data(as_text=True)
    assert rest.startswith("id: 3\ndata: three\n")
    assert client.get(at, headers={"Last-Event-ID": "x"}).status_code == 200


def test_a_page_that_stays_open_hears_of_each_new_state(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log grows by itself; its stages and its place must not stay those of the moment when it was opened.

    Of many changes at once it hears once: on deadline night many such pages are open.
    """
    turns = iter([State.WAITING, State.STARTED, State.WAITING, State.STARTED, State.GRADED])

    def wait(_seconds: float) -> None:
        state = next(turns)
        site.spool.change(site.entry.id, lambda one: one.model_copy(update={"state": state}))

    monkeypatch.setattr(time, "sleep", wait)
    said = "".join(lines_as_events(site.course, site.spool, site.entry.id, 0))
    assert said.split("\n\n")[:-1] == [
        ": still there",
        ": still there",
        "event: changed\ndata: started",
        ": still there",
        ": still there",
        "id: 0\nevent: over\ndata: graded",
    ]


def test_the_queue_says_how_many_are_over_where_it_shows_the_newest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "OVER_SHOWN", 2)
    for number in range(2, 5):
        site.spool.add(entry("ada", number, number, state=State.REFUSED))
    site.spool.active()
    page = site.browser("staff").get("/course").get_data(as_text=True)
    assert '<h2>Over <span class="count">3</span></h2>' in page
    assert "The newest 2" in page


@pytest.mark.parametrize(
    "name",
    ["../../course.toml", "private/execution.json", "record.json", "logs/../private/execution.json", "logs/link"],
)
def test_only_what_is_published_of_a_run_is_served(site: Site, name: str) -> None:
    folder = site.course.run(site.entry.id)
    for file in ("private/execution.json", "record.json", "logs/fetch.log"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("secret")
    (folder / "logs" / "link").symlink_to(folder / "record.json")
    client, at = site.browser("ada"), f"/submissions/{site.entry.id}/report"
    assert client.get(f"{at}/{name}").status_code == 404
    log = client.get(f"{at}/logs/fetch.log")
    assert (log.status_code, log.mimetype) == (200, "text/plain")
    assert log.headers["Content-Security-Policy"].startswith("sandbox")


def basic(name: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


def ask_git(site: Site, path: str, who: str, token: str | None = None) -> TestResponse:
    return site.app.test_client().get(path, headers=basic(who, site.tokens[who] if token is None else token))


def test_git_asks_for_the_own_token(site: Site) -> None:
    path = "/git/ada/mnist-train.git/info/refs?service=git-receive-pack"
    assert ask_git(site, path, "ada").status_code == 200
    others = ask_git(site, path, "bob")
    assert others.status_code == 404
    assert others.get_data(as_text=True).endswith("they are /git/bob/ASSIGNMENT.git\n")
    refused = ask_git(site, path, "ada", "wrong")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert site.app.test_client().get(path).status_code == 401


def test_git_speaks_the_smart_protocol_alone(site: Site) -> None:
    at = "/git/ada/mnist-train.git"
    assert ask_git(site, f"{at}/info/refs", "ada").status_code == 403
    assert ask_git(site, f"{at}/info/refs?service=git-upload-archive", "ada").status_code == 403
    assert ask_git(site, f"{at}/HEAD", "ada").status_code in {404, 405}
    assert ask_git(site, "/git/ada/..%2fbob.git/info/refs?service=git-receive-pack", "ada").status_code == 404


def test_one_students_pushes_leave_threads_for_everybody_else(site: Site) -> None:
    """Each holds one from its first byte to its last, however slowly they come."""
    path = "/git/{}/mnist-train.git/info/refs?service=git-receive-pack"
    held = [ask_git(site, path.format("ada"), "ada") for _ in range(GIT_OF_EACH)]
    refused = ask_git(site, path.format("ada"), "ada")
    assert refused.status_code == 429
    assert "wait for one of them to end" in refused.get_data(as_text=True)
    assert ask_git(site, path.format("bob"), "bob").status_code == 200
    for answer in held:
        answer.close()
    assert ask_git(site, path.format("ada"), "ada").status_code == 200


def test_a_push_takes_a_place_among_those_that_are_followed_and_gives_it_back(site: Site) -> None:
    followed = site.app.config["FOLLOWED"]
    headers = basic("ada", site.tokens["ada"]) | {"Content-Type": "application/x-git-receive-pack-request"}
    path = "/git/ada/mnist-train.git/git-receive-pack"
    answer = site.app.test_client().post(path, headers=headers, data=b"0000")
    assert followed.held == {"ada": 1}
    assert answer.get_data() == b""
    answer.close()
    assert followed.held == {}
