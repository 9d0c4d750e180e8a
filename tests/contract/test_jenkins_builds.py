"""Submissions built by Jenkins: found again whoever is killed, graded by the run's own result, their console whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.jenkins_bench import ENTRY, ID, Bench, opened, result
from support.jenkins_server import NOTE, course_files
from support.submissions import Clock

from pipeline.backends.ci.jenkins import AwayError, MissingError
from pipeline.errors import InfrastructureError, Outcome
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import State
from pipeline.submissions.spool import Spool


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as made:
        made.sync()
        made.server.requests.clear()
        yield made


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


def test_a_dispatcher_waits_for_jenkins_at_no_cost_and_ends_what_it_built(ready: Bench) -> None:
    spool, clock = Spool(ready.course.spool), Clock()
    spool.add(ENTRY)
    builds = ready.builds()
    dispatcher = Dispatcher(ready.course, spool, builds, Settings(slots=4), clock)
    ready.server.loading = True
    for _ in range(6):
        dispatcher.step()
        clock.forward(minutes=1)
    waiting = spool.get(ID)
    assert (waiting.state, waiting.tries) == (State.WAITING, 0)
    assert "it is starting" in waiting.reason
    ready.server.loading = False
    dispatcher.step()
    dispatcher.step()
    ready.programs[0].ended = "UNSTABLE"
    ready.programs[0].artifacts["report/result.json"] = result(Outcome.FAILED, 42)
    ready.server.loading = True
    dispatcher.step()
    assert spool.get(ID).state is State.STARTED
    ready.server.loading = False
    dispatcher.step()
    graded = spool.get(ID)
    assert (graded.state, graded.outcome, graded.points) == (State.GRADED, Outcome.FAILED, 42)
    assert len(ready.programs) == 1
    assert (ready.course.run(ID) / "result.json").read_bytes() == ready.programs[0].artifacts["report/result.json"]


@pytest.mark.parametrize("when", ["queued", "left the queue", "running"])
def test_what_a_stopped_server_has_stopped_is_built_anew_by_the_next_one(ready: Bench, when: str) -> None:
    """A build that we have stopped ourselves is no affair of the staff, and uses up no try."""
    ready.server.executors = 0 if when == "queued" else 1
    spool, clock = Spool(ready.course.spool), Clock()
    spool.add(ENTRY)
    dispatcher = Dispatcher(ready.course, spool, ready.builds(), Settings(slots=4), clock)
    dispatcher.step()
    if when == "running":
        dispatcher.step()
    if when == "left the queue":
        ready.server.advance()
    dispatcher.pause()
    assert [one.ended for one in ready.programs] == ([] if when == "queued" else ["ABORTED"])
    assert all(one.cancelled for one in ready.server.queue.values() if one.left is None)
    ready.server.executors = 1
    dispatcher = Dispatcher(ready.course, spool, ready.builds(), Settings(slots=4), clock)
    for _ in range(3):
        dispatcher.step()
        clock.forward(minutes=10)
    ready.programs[-1].ended = "SUCCESS"
    ready.programs[-1].artifacts["report/result.json"] = result(Outcome.PASSED, 95)
    dispatcher.step()
    graded = spool.get(ID)
    assert (graded.state, graded.outcome, graded.tries) == (State.GRADED, Outcome.PASSED, 1)


def test_a_build_that_could_not_be_stopped_is_followed_on(ready: Bench) -> None:
    builds = ready.builds()
    builds.start(ENTRY)
    builds.look(ENTRY)
    ready.server.loading = True
    with pytest.raises(AwayError):
        builds.cancel(ENTRY)
    ready.server.loading = False
    ready.builds().start(ENTRY)
    assert ready.builds().look(ENTRY).state == "running"
    assert len(ready.programs) == 1


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
