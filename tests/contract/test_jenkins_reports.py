"""The report of a build in Jenkins on the course's own pages: whole, once, within bounds, to its owner alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.deaths import KILLED, environment
from support.jenkins_bench import ENTRY, ID, Bench, opened, result
from support.jenkins_server import Scripted

from pipeline.backends.ci import Look, jenkins_artifacts
from pipeline.backends.ci.jenkins import AwayError
from pipeline.errors import Outcome
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import State
from pipeline.submissions.members import read_members
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student
from pipeline.web.app import create_app

FILES = {
    "report.html": b"<!DOCTYPE html><title>of this run</title>",
    "report.css": b"body {}",
    "junit.xml": b"<testsuites/>",
    "logs/worker-0.log": b"step 1\n",
    "logs/plain.0.log": b"answered\n",
    "plots/loss.svg": b"<svg/>",
    "plots/loss-dark.svg": b"<svg/>",
    "model.safetensors": bytes(1000),
}
FOREIGN = ("../report.html", "private/hidden.log", "logs/../../../x.log", "logs/.log", "record.json", "logs/a/b.log")
LOOKS = """
import sys
from pathlib import Path
from pipeline.backends.choose import choose_builds
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
course = CourseFolder(Path(sys.argv[1]))
builds, entry = choose_builds(course), Spool(course.spool).get(sys.argv[2])
builds.clock = iter(range(0, 10**9, 10)).__next__
for _ in range(50):
    builds.look(entry)
"""


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as made:
        made.sync()
        Spool(made.course.spool).add(ENTRY)
        yield made


def ended(ready: Bench, outcome: Outcome = Outcome.PASSED, **more: bytes) -> Scripted:
    """A build that has ended and left a report."""
    builds = ready.builds()
    builds.start(ENTRY)
    assert builds.look(ENTRY).state == "running"
    program = ready.programs[-1]
    program.artifacts = {f"report/{name}": content for name, content in (FILES | more).items()}
    program.artifacts["report/result.json"] = result(outcome, 95)
    program.ended = "SUCCESS"
    ready.server.requests.clear()
    return program


def looked(ready: Bench) -> Look:
    """Until it has ended, as the dispatcher does. What pages show meanwhile does not change."""
    builds, before = ready.builds(), brought(ready)
    for _ in range(50):
        look = builds.look(ENTRY)
        if look.state != "running":
            return look
        assert brought(ready) == before
    raise AssertionError("the report does not come")


def brought(ready: Bench) -> dict[str, bytes]:
    folder = ready.course.run(ID)
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def asked_for(ready: Bench) -> list[str]:
    paths = [path.partition("/artifact/report/")[2] for _, path in ready.server.requests]
    return [one for one in paths if one in FILES]


def browser(ready: Bench, name: str) -> FlaskClient:
    if name not in read_members(ready.course):
        ready.tokens[name] = add_student(ready.course, name)[0]
    client = create_app(ready.course, ready.builds()).test_client()
    assert client.get(f"/enter/{ready.tokens[name]}").status_code == 302
    return client


def test_a_report_is_brought_whole_and_once_and_nothing_else(ready: Bench) -> None:
    program = ended(ready)
    program.artifacts |= {f"report/{name}": b"not for here" for name in FOREIGN}
    look = looked(ready)
    assert (look.state, look.outcome, look.points) == ("ended", Outcome.PASSED, 95)
    found = brought(ready)
    assert found.pop("brought.json")
    assert found == FILES | {"result.json": program.artifacts["report/result.json"]}
    assert sorted(asked_for(ready)) == sorted(FILES)
    left = [one.name for one in ready.course.build(ID).iterdir()]
    assert sorted(left) == ["jenkins.json", "run"]


def test_the_pages_show_it_to_its_owner_as_they_show_local_ones(ready: Bench) -> None:
    ended(ready)
    spool = Spool(ready.course.spool)
    spool.change(ID, lambda one: one.model_copy(update={"state": State.STARTED}))
    dispatcher = Dispatcher(ready.course, spool, ready.builds(), Settings(slots=1))
    for _ in range(50):
        dispatcher.step()
    assert spool.get(ID).state is State.GRADED
    ada, bob, at = browser(ready, "ada"), browser(ready, "bob"), f"/submissions/{ID}"
    page = ada.get(at).get_data(as_text=True)
    assert f'href="{at}/report/report.html"' in page
    assert '<span class="stage">execute</span> <span class="status">done</span>' in page
    assert f'href="{ready.server.url}job/ml/job/mnist-ada/1/Report/"' in page
    for name, content in FILES.items():
        answer = ada.get(f"{at}/report/{name}")
        assert (answer.status_code, answer.data) == (200, content), name
        assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-same-origin; default-src 'none'")
        assert bob.get(f"{at}/report/{name}").status_code == 404
    assert ada.get(f"{at}/report/brought.json").status_code == 404


def test_while_jenkins_is_away_the_grade_waits_and_nothing_is_brought_twice(ready: Bench) -> None:
    ended(ready)
    builds = ready.builds()
    for _ in range(3):
        assert builds.look(ENTRY).state == "running"
    ready.server.loading = True
    with pytest.raises(AwayError):
        ready.builds().look(ENTRY)
    assert not ready.course.run(ID).exists()
    ready.server.loading = False
    assert looked(ready).outcome is Outcome.PASSED
    assert sorted(asked_for(ready)) == sorted(FILES)


@pytest.mark.parametrize("where", ["fsync report.css", "rename junit.xml", "rename run.old", "rename run"])
def test_whoever_is_killed_the_report_comes_whole(ready: Bench, where: str) -> None:
    old = ready.course.run(ID) / "logs" / "of-an-earlier-build.log"
    old.parent.mkdir(parents=True)
    old.write_text("")
    ended(ready)
    command = [sys.executable, "-c", LOOKS, str(ready.folder), ID]
    died = subprocess.run(command, env=environment(where), check=False, capture_output=True, timeout=120)
    assert died.returncode == KILLED, died.stderr
    assert looked(ready).outcome is Outcome.PASSED
    assert set(brought(ready)) == {*FILES, "result.json", "brought.json"}


def test_what_is_too_large_or_gone_stays_in_jenkins_and_is_named(ready: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jenkins_artifacts, "MOST_FILE_BYTES", 900)
    program = ended(ready)
    program.lost.add("report/junit.xml")
    assert looked(ready).outcome is Outcome.PASSED
    assert set(FILES) - set(brought(ready)) == {"model.safetensors", "junit.xml"}
    page = browser(ready, "ada").get(f"/submissions/{ID}").get_data(as_text=True)
    assert "<code>model.safetensors</code>: larger than the 900 bytes that may come" in page
    assert "<code>junit.xml</code>" in page


def test_the_report_of_a_later_build_takes_the_place_of_an_earlier_one(ready: Bench) -> None:
    ended(ready, Outcome.INFRASTRUCTURE, **{"logs/early.log": b"early"})
    ready.programs[0].ended = "FAILURE"
    assert looked(ready).outcome is Outcome.INFRASTRUCTURE
    assert "logs/early.log" in brought(ready)
    ended(ready)
    assert looked(ready).outcome is Outcome.PASSED
    assert set(brought(ready)) == {*FILES, "result.json", "brought.json"}
