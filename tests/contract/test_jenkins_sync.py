"""Jobs by the roster: python-jenkins and our own calls against the stand-in for Jenkins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jenkins as python_jenkins
import pytest
import requests
from support.jenkins_bench import COURSE, ENTRY, ROSTER, Bench, opened
from support.jenkins_server import JenkinsServer

from pipeline.backends.ci.jenkins import AwayError
from pipeline.cli.app import call


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as made:
        yield made


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
