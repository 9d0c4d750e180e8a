"""python-jenkins and our own calls against the stand-in for Jenkins: jobs by the roster, builds that are not lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jenkins as python_jenkins
import pytest
import requests
from support.jenkins_server import NOTE, JenkinsServer, Scripted, course_files, served
from support.reports import assignment

from pipeline.backends.ci.jenkins import AwayError, MissingError
from pipeline.backends.ci.jenkins_builds import JenkinsBuilds
from pipeline.build_server import read_build_server
from pipeline.cli.app import call
from pipeline.errors import InfrastructureError, Outcome
from pipeline.reporting.assembly import assemble
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder

ROSTER = "name,email,jenkins,team\nada,ada@x.example,,\nbob,bob@x.example,b.ob,\ncleo,,cleo,seven\ndora,,,seven\n"
COURSE = """\
name = "ml"
title = "Learning"
[[assignments]]
name = "mnist"
title = "Digits & more"
passed_from = 1
[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.5
points = 1
"""
ID = "0123456789abcdef" * 2
ENTRY = Entry(
    id=ID,
    course="ml",
    assignment="mnist",
    student="ada",
    repository="/srv/git/ada/mnist.git",
    ref="refs/heads/main",
    old="0" * 40,
    new="c0" * 20,
    arrived=datetime(2026, 8, 1, 10, 15, tzinfo=UTC),
    attempt=2,
)


class Bench:
    """A server whose builds do what the test says, and a course whose jobs are made there."""

    def __init__(self, folder: Path, server: JenkinsServer, programs: list[Scripted]) -> None:
        self.server, self.programs = server, programs
        self.folder = folder / "course"
        course_files(self.folder, server)
        (self.folder / "course.toml").write_text(COURSE)
        (self.folder / "students.csv").write_text(ROSTER)
        self.course = CourseFolder(self.folder)
        self.now = 0.0

    def builds(self) -> JenkinsBuilds:
        """As a process that has just started: it knows only what lies on the disk."""
        server = read_build_server(self.folder)
        assert server is not None
        return JenkinsBuilds(self.course, server, clock=self.clock)

    def clock(self) -> float:
        self.now += 10
        return self.now

    def sync(self) -> None:
        assert call(["jenkins", "sync", str(self.folder)]) == 0

    def posts(self) -> list[str]:
        return [path for method, path in self.server.requests if method == "POST"]

    def console(self) -> str:
        return self.course.console(ID).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    programs: list[Scripted] = []

    def start(*_: Any) -> Scripted:
        programs.append(Scripted())
        return programs[-1]

    with served(start) as server:
        yield Bench(tmp_path, server, programs)


@pytest.fixture
def ready(bench: Bench) -> Bench:
    bench.sync()
    bench.server.requests.clear()
    return bench


def test_jobs_are_made_for_students_and_teams_and_a_second_time_changes_nothing(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(["jenkins", "status", str(bench.folder), "--json"]) == 0
    assert [one["kind"] for one in json.loads(capfd.readouterr().out)] == ["create"] * 4
    assert bench.server.items == {}
    bench.sync()
    assert list(bench.server.items) == ["ml", "ml/mnist-ada", "ml/mnist-bob", "ml/mnist-seven"]
    bench.server.requests.clear()
    capfd.readouterr()
    bench.sync()
    assert "as it should be" in capfd.readouterr().out
    assert bench.posts() == []


def test_each_student_sees_only_their_own(ready: Bench) -> None:
    server = ready.server
    seen = {}
    for user in ("ada", "b.ob", "cleo", "tutor", "eve"):
        server.tokens[user] = "x"
        client = python_jenkins.Jenkins(server.url, user, "x", timeout=10)
        try:
            seen[user] = [one["name"] for one in client.get_info("job/ml")["jobs"]]
        except python_jenkins.NotFoundException:
            seen[user] = []
    every = ["mnist-ada", "mnist-bob", "mnist-seven"]
    assert seen == {"ada": every[:1], "b.ob": every[1:2], "cleo": every[2:], "tutor": every, "eve": []}
    client = python_jenkins.Jenkins(server.url, "ada", "x", timeout=10)
    with pytest.raises(python_jenkins.JenkinsException):
        client.reconfig_job("ml/mnist-ada", "<x/>")
    with pytest.raises(python_jenkins.JenkinsException):
        client.build_job("ml/mnist-ada", {"SUBMISSION_ID": "x"})


def test_who_leaves_is_disabled_and_who_comes_back_enabled(ready: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    (ready.folder / "students.csv").write_text(ROSTER.replace("bob,bob@x.example,b.ob,\n", ""))
    ready.sync()
    bob = ready.server.items["ml/mnist-bob"]
    assert bob.disabled
    ready.server.requests.clear()
    ready.sync()
    assert ready.posts() == []
    (ready.folder / "students.csv").write_text(ROSTER)
    ready.sync()
    assert not bob.disabled


def test_what_changed_is_brought_up_to_date_and_what_is_not_ours_left_alone(ready: Bench) -> None:
    ready.server.items["ml/by-hand"] = type(ready.server.items["ml/mnist-ada"])(
        "<flow-definition><description>mine</description><permission>USER:hudson.model.Item.Read:dispatcher"
        "</permission></flow-definition>"
    )
    (ready.folder / "course.toml").write_text(COURSE.replace("Digits & more", "Numbers"))
    ready.sync()
    assert "<displayName>Numbers · ada</displayName>" in ready.server.items["ml/mnist-ada"].xml
    assert not ready.server.items["ml/by-hand"].disabled
    assert [path for path in ready.posts() if path.endswith("config.xml")] == [
        f"/job/ml/job/mnist-{owner}/config.xml" for owner in ("ada", "bob", "seven")
    ]


def test_a_sync_that_was_cut_off_is_finished_by_the_next(bench: Bench) -> None:
    bench.sync()
    del bench.server.items["ml/mnist-seven"], bench.server.items["ml/mnist-bob"]
    bench.sync()
    assert "ml/mnist-seven" in bench.server.items


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda server: setattr(server, "loading", True), "answers with 503: it is starting"),
        (lambda server: server.close(), "cannot be reached"),
        (lambda server: server.tokens.clear(), "does not let dispatcher"),
    ],
    ids=["loading", "down", "denied"],
)
def test_what_is_wrong_is_said_in_words(
    ready: Bench, break_it: Callable[[JenkinsServer], None], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    break_it(ready.server)
    assert call(["jenkins", "status", str(ready.folder)]) == 3
    error = capfd.readouterr().err
    assert said in error
    assert "hint:" in error
    with pytest.raises(AwayError):
        ready.builds().start(ENTRY)


def test_a_build_from_its_queue_to_its_result(ready: Bench) -> None:
    ready.server.executors = 0
    builds = ready.builds()
    builds.start(ENTRY)
    look = builds.look(ENTRY)
    assert (look.state, look.reason) == ("queued", "Waiting for next available executor on ‘submission’")
    ready.server.executors = 1
    assert builds.look(ENTRY).state == "running"
    program = ready.programs[0]
    program.log = NOTE + b"[2026-08-01T10:16:00.000Z] fetch running\n"
    assert builds.look(ENTRY).state == "running"
    program.log += "ähnlich\n".encode()
    program.ended = "UNSTABLE"
    program.artifacts["report/result.json"] = result(Outcome.FAILED, 42)
    look = builds.look(ENTRY)
    assert (look.state, look.outcome, look.points, look.most_points) == ("ended", Outcome.FAILED, 42, 100)
    assert look.url == f"{ready.server.url}job/ml/job/mnist-ada/1/Report/"
    assert ready.console() == "[2026-08-01T10:16:00.000Z] fetch running\nähnlich\n"
    build = ready.server.items["ml/mnist-ada"].builds[0]
    assert build.parameters == {
        "SUBMISSION_ID": ID,
        "COURSE": "ml",
        "ASSIGNMENT": "mnist",
        "STUDENT": "ada",
        "REPOSITORY": "/srv/git/ada/mnist.git",
        "COMMIT": "c0" * 20,
        "ARRIVED": "2026-08-01T10:15:00+00:00",
        "ATTEMPT": "2",
    }


def result(outcome: Outcome, points: float | None, run: str = ID) -> bytes:
    from support.reports import record, stages

    from pipeline.figures import Figures

    of = record(assignment(), run=run, outcome=outcome, points=points, stages=stages())
    return assemble(of, Figures(), None, of.stages[-1]).model_copy(
        update={"points": points}
    ).model_dump_json().encode()  # fmt: skip


@pytest.mark.parametrize(
    ("said", "archived", "outcome"),
    [
        ("SUCCESS", result(Outcome.PASSED, 95), Outcome.PASSED),
        ("UNSTABLE", result(Outcome.LIMIT, 0), Outcome.LIMIT),
        ("FAILURE", result(Outcome.INFRASTRUCTURE, None), Outcome.INFRASTRUCTURE),
        ("FAILURE", result(Outcome.PASSED, 95), Outcome.INFRASTRUCTURE),
        ("SUCCESS", None, Outcome.INFRASTRUCTURE),
        ("SUCCESS", b"<html>", Outcome.INFRASTRUCTURE),
        ("SUCCESS", result(Outcome.PASSED, 95, run="f" * 32), Outcome.INFRASTRUCTURE),
        ("ABORTED", None, Outcome.ABORTED),
        ("ABORTED", result(Outcome.ABORTED, None), Outcome.ABORTED),
        # Declarative keeps the result that a lost agent left, though the run then passed on another
        ("ABORTED", result(Outcome.PASSED, 95), Outcome.PASSED),
    ],
)
def test_the_runs_own_result_counts(ready: Bench, said: str, archived: bytes | None, outcome: Outcome) -> None:
    builds = ready.builds()
    builds.start(ENTRY)
    assert builds.look(ENTRY).state == "running"
    ready.programs[0].ended = said
    if archived is not None:
        ready.programs[0].artifacts["report/result.json"] = archived
    assert builds.look(ENTRY).outcome is outcome


@pytest.mark.parametrize("when", ["queued", "running", "vanished", "restarted"])
def test_a_process_that_starts_anew_finds_the_build(ready: Bench, when: str) -> None:
    ready.builds().start(ENTRY)
    known = ready.course.build(ID) / "jenkins.json"
    if when != "queued":
        ready.builds().look(ENTRY)
    if when == "vanished":
        ready.server.vanish_s = 0
        known.unlink()
    if when == "restarted":
        ready.server.close()
        with pytest.raises(AwayError):
            ready.builds().look(ENTRY)
        ready.server.open()
    for _ in range(2):
        ready.builds().start(ENTRY)
    assert ready.builds().look(ENTRY).state == "running"
    assert len(ready.programs) == 1


def test_a_kill_between_the_request_and_its_record_starts_no_second_build(ready: Bench) -> None:
    ready.server.executors = 0
    ready.builds().start(ENTRY)
    (ready.course.build(ID) / "jenkins.json").unlink()
    ready.builds().start(ENTRY)
    assert len(ready.server.queue) == 1
    ready.server.executors = 1
    assert ready.builds().look(ENTRY).state == "running"
    (ready.course.build(ID) / "jenkins.json").unlink()
    ready.builds().start(ENTRY)
    assert len(ready.programs) == 1


def test_an_item_that_vanished_from_the_queue_is_found_as_a_build(ready: Bench) -> None:
    ready.builds().start(ENTRY)
    ready.server.vanish_s = -1
    assert ready.builds().look(ENTRY).state == "running"


def test_a_cancelled_item_is_lost_and_started_again(ready: Bench) -> None:
    ready.server.executors = 0
    builds = ready.builds()
    builds.start(ENTRY)
    builds.cancel(ENTRY)
    assert builds.look(ENTRY).state == "lost"
    ready.server.executors = 1
    builds.start(ENTRY)
    assert builds.look(ENTRY).state == "running"


def test_after_an_end_that_counts_for_nothing_another_build_follows(ready: Bench) -> None:
    builds = ready.builds()
    builds.start(ENTRY)
    builds.look(ENTRY)
    ready.programs[0].log, ready.programs[0].ended = b"first\n", "FAILURE"
    assert builds.look(ENTRY).outcome is Outcome.INFRASTRUCTURE
    builds = ready.builds()
    builds.start(ENTRY)
    assert builds.look(ENTRY).state == "running"
    ready.programs[1].log, ready.programs[1].ended = b"second\n", "SUCCESS"
    ready.programs[1].artifacts["report/result.json"] = result(Outcome.PASSED, 95)
    assert builds.look(ENTRY).outcome is Outcome.PASSED
    assert ready.console() == "first\nsecond\n"


def test_a_console_comes_in_pieces_cut_anywhere_and_a_kill_repeats_nothing(ready: Bench) -> None:
    ready.server.most_bytes = 7
    log = NOTE + "größte Übung ✓\n".encode() + NOTE + b"end\n"
    ready.builds().start(ENTRY)
    ready.builds().look(ENTRY)
    ready.programs[0].log = log
    ready.programs[0].ended = "SUCCESS"
    ready.programs[0].artifacts["report/result.json"] = result(Outcome.PASSED, 95)
    looks = []
    for _ in range(50):
        # as if the process had died after it wrote to the console and before it kept how far it came
        with ready.course.console(ID).open("ab") as console:
            console.write(b"half a chu")
        looks.append(ready.builds().look(ENTRY).state)
        if looks[-1] == "ended":
            break
    assert looks[-1] == "ended"
    assert looks.count("running") > 3
    assert ready.console().removesuffix("half a chu") == "größte Übung ✓\nend\n"


def test_a_disabled_or_missing_job_is_for_staff(ready: Bench) -> None:
    ready.server.items["ml/mnist-ada"].disabled = True
    with pytest.raises(InfrastructureError, match="409") as refused:
        ready.builds().start(ENTRY)
    assert "pipeline jenkins sync" in refused.value.hint
    with pytest.raises(MissingError):
        ready.builds().start(ENTRY.model_copy(update={"student": "nobody"}))


def test_jenkins_is_not_asked_more_than_once_a_second(ready: Bench) -> None:
    builds = ready.builds()
    builds.start(ENTRY)
    builds.look(ENTRY)
    builds.clock = lambda: ready.now  # no time passes
    ready.server.requests.clear()
    for _ in range(5):
        assert builds.look(ENTRY).state == "running"
    assert ready.server.requests == []


def test_agents_elsewhere_clone_by_an_address(ready: Bench) -> None:
    course_files(ready.folder, ready.server, repositories="ssh://git@git.example:2222/ml/")
    inside = ENTRY.model_copy(update={"repository": str(ready.course.repositories / "ada" / "mnist.git")})
    assert ready.builds().repository(inside) == "ssh://git@git.example:2222/ml/ada/mnist.git"


def test_the_stand_in_answers_as_noted(ready: Bench) -> None:
    """What python-jenkins met when it was run against statuses like these (reference/jenkins.md, 30-36)."""
    server = ready.server
    bot = python_jenkins.Jenkins(server.url, "dispatcher", "bot-token", timeout=10)
    with pytest.raises(python_jenkins.JenkinsException, match="already exists"):
        bot.create_job("ml/mnist-ada", "<flow-definition/>")
    with pytest.raises(requests.HTTPError):
        bot.build_job("ml/mnist-ada")
    session = requests.Session()
    session.auth = ("admin", "admin-password")
    where = f"{server.url}job/ml/job/mnist-ada/disable"
    assert session.post(where, timeout=10).status_code == 403
    crumb = session.get(f"{server.url}crumbIssuer/api/json", timeout=10).json()
    answer = session.post(where, headers={crumb["crumbRequestField"]: crumb["crumb"]}, timeout=10)
    assert (answer.status_code, answer.headers["X-Jenkins"]) == (200, "2.516.3")
    server.executors, server.items["ml/mnist-ada"].disabled = 0, False
    token = ("dispatcher", "bot-token")
    where = f"{server.url}job/ml/job/mnist-ada/buildWithParameters"
    data = {"SUBMISSION_ID": "1", "UNDECLARED": "x"}
    answers = [requests.post(where, data=data, auth=token, allow_redirects=False, timeout=10) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 303]
    assert len({one.headers["Location"] for one in answers}) == 1
    assert "UNDECLARED" not in server.queue[1].parameters
