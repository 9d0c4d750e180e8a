"""Every submission ends as exactly one of graded, superseded, refused, whoever is killed and whatever fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.submissions import START, Clock, ScriptedBuilds, course_folder, entry

from pipeline.backends.ci.jenkins import AwayError
from pipeline.errors import InfrastructureError, Outcome, ThrottledError, UsageError
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import drop, retry, stop_build


class House:
    """A course, its spool, scripted builds and a clock."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        self.course: CourseFolder = course_folder(folder)
        self.spool, self.builds, self.clock = Spool(self.course.spool), ScriptedBuilds(), Clock()
        self.slots = slots
        self.restart()

    def restart(self) -> None:
        """A new dispatcher on what the last one left."""
        self.dispatcher = Dispatcher(self.course, self.spool, self.builds, Settings(self.slots), self.clock)

    def state(self, submission: str) -> State:
        return self.spool.get(submission).state

    def steps(self, number: int = 1) -> None:
        for _ in range(number):
            self.dispatcher.step()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_submission_is_built_once_and_graded(house: House) -> None:
    one = entry()
    assert house.spool.add(one)
    assert not house.spool.add(one)
    house.steps(3)
    assert house.builds.started == [one.id]
    house.builds.finish(one.id, points=95.0)
    house.steps()
    ended = house.spool.get(one.id)
    assert (ended.state, ended.outcome, ended.points, ended.attempt) == (State.GRADED, Outcome.PASSED, 95.0, 1)
    assert not house.spool.add(one)
    assert house.spool.active() == []


def test_no_more_builds_than_slots(house: House) -> None:
    for student in ("ada", "bob", "cyd", "dan"):
        house.spool.add(entry(student))
    house.steps(3)
    assert len(house.builds.started) == 2
    house.builds.finish_all()
    house.steps(2)
    assert len(house.builds.started) == 4
    assert house.builds.most_at_once == 2


def test_a_worker_that_is_gone_is_started_again_and_then_the_staffs(house: House) -> None:
    one = entry()
    house.spool.add(one)
    for tries in range(1, 5):
        house.steps(2)
        assert len(house.builds.started) == tries
        house.builds.lose(one.id)
        house.steps()
        house.clock.forward(minutes=10)
    assert house.state(one.id) is State.PARKED
    assert "4 tries" in house.spool.get(one.id).reason
    retry(house.spool, one.id[:8])
    house.steps(2)
    house.builds.finish(one.id)
    house.steps()
    assert house.state(one.id) is State.GRADED
    assert house.spool.get(one.id).attempt == 1


def test_a_server_that_is_down_costs_nothing_and_is_asked_less_and_less(house: House) -> None:
    one = entry()
    house.spool.add(one)
    house.builds.failures = [InfrastructureError("Jenkins does not answer")] * 2
    house.steps(5)
    assert house.builds.started == []
    assert house.spool.get(one.id).reason == "Jenkins does not answer"
    for _ in range(3):
        house.clock.forward(minutes=10)
        house.steps()
    assert house.builds.started == [one.id]


def test_a_server_that_takes_no_more_for_now_uses_up_no_try(house: House) -> None:
    one = entry()
    house.spool.add(one)
    house.builds.failures = [ThrottledError("loading", wait_s=5)] * 20
    for _ in range(20):
        house.steps()
        house.clock.forward(seconds=6)
    house.steps()
    assert house.builds.started == [one.id]


def test_infrastructure_is_tried_again_and_a_students_failure_is_not(house: House) -> None:
    mine, theirs = entry("ada"), entry("bob")
    house.spool.add(mine)
    house.spool.add(theirs)
    house.steps()
    house.builds.finish(mine.id, Outcome.FAILED, 0.0)
    house.builds.finish(theirs.id, Outcome.INFRASTRUCTURE, None)
    house.steps()
    assert house.spool.get(mine.id).outcome is Outcome.FAILED
    assert house.state(theirs.id) is State.WAITING
    assert house.spool.get(theirs.id).outcome is None


def test_a_newer_push_supersedes_one_that_waits(house: House) -> None:
    house.slots = 1
    house.restart()
    blocking, old, new = entry("bob"), entry("ada", 1, 1), entry("ada", 2, 2)
    for one in (blocking, old, new):
        house.spool.add(one)
    house.steps()
    assert house.state(old.id) is State.SUPERSEDED
    assert house.spool.get(old.id).superseded_by == new.id
    house.builds.finish_all()
    house.steps(2)
    house.builds.finish_all()
    house.steps()
    assert house.spool.get(new.id).attempt == 1


def test_attempts_are_counted_and_the_last_ones_refused(house: House) -> None:
    text = house.course.course_file.read_text().replace("attempts = 20", "attempts = 2")
    house.course.course_file.write_text(text)
    for number in (1, 2, 3):
        house.spool.add(entry("ada", number, number))
        house.steps(2)
        house.builds.finish_all()
        house.steps()
    states = [one.state for one in house.spool.over()]
    assert states == [State.GRADED, State.GRADED, State.REFUSED]
    assert "2 attempts" in house.spool.over()[-1].reason
    assert [one.attempt for one in house.spool.over()[:2]] == [1, 2]


def test_more_attempts_of_one_student(house: House) -> None:
    text = house.course.course_file.read_text().replace("attempts = 20", "attempts = 1")
    house.course.course_file.write_text(f'{text}\n[[assignments.extensions]]\nstudent = "ada"\nattempts = 2\n')
    for number, student in enumerate(("ada", "bob", "ada", "bob", "ada")):
        house.spool.add(entry(student, number, number))
        house.steps(2)
        house.builds.finish_all()
        house.steps()
    over = sorted(house.spool.over(), key=lambda one: one.arrived)
    assert [one.state is State.GRADED for one in over] == [True, True, True, False, False]


def test_what_staff_ended_stays_ended(house: House) -> None:
    one = entry()
    house.spool.add(one)
    house.steps()
    drop(house.spool, one.id[:10], "a duplicate")
    house.builds.finish(one.id)
    house.steps()
    assert (house.state(one.id), house.spool.get(one.id).reason) == (State.REFUSED, "a duplicate")


def test_what_staff_end_while_it_is_being_started_does_not_run_on(house: House) -> None:
    """Whoever ends it has found no build that could be stopped yet."""
    one, start = entry(), house.builds.start
    house.spool.add(one)

    def ended_meanwhile(entry: Entry) -> None:
        drop(house.spool, entry.id, "a duplicate")
        start(entry)

    house.builds.start = ended_meanwhile  # type: ignore[method-assign]
    house.steps()
    assert house.state(one.id) is State.REFUSED
    assert house.builds.running == set()


def test_who_ends_a_submission_is_told_whether_it_ran_when_it_ended(house: House) -> None:
    """It may have been started since it was looked up; then its build is to be stopped."""
    one = entry()
    house.spool.add(one)
    change = house.spool.change

    def started_meanwhile(submission: str, how: Callable[[Entry], Entry | None]) -> Entry | None:
        change(submission, lambda found: found.model_copy(update={"state": State.STARTED}))
        return change(submission, how)

    house.spool.change = started_meanwhile  # type: ignore[method-assign]
    assert drop(house.spool, one.id, "a duplicate").state is State.STARTED


@pytest.mark.parametrize(("tries", "state"), [(1, State.WAITING), (4, State.PARKED)])
def test_the_last_attempt_is_kept_for_a_push_in_time_that_no_server_could_grade(
    house: House, tries: int, state: State
) -> None:
    """A late push, worth less, would use it up while the one in time waits for its next try or for staff."""
    text = house.course.course_file.read_text().replace("attempts = 20", "attempts = 1")
    house.course.course_file.write_text(text.replace("2099-01-31T23:59:59+01:00", START.isoformat()))
    in_time, late = entry("ada", 1, 0), entry("ada", 2, 30)
    house.spool.add(in_time)
    house.spool.add(late)
    for _ in range(tries):
        house.clock.forward(minutes=10)
        house.steps(2)
        house.builds.finish(in_time.id, Outcome.INFRASTRUCTURE, None)
        house.steps(2)
    assert house.state(in_time.id) is state
    assert late.id not in house.builds.started
    assert "may need the last attempt" in house.spool.get(late.id).reason
    if state is State.PARKED:
        retry(house.spool, in_time.id)
    for _ in range(3):
        house.clock.forward(minutes=10)
        house.steps(2)
        house.builds.finish_all()
    house.steps()
    assert (house.state(in_time.id), house.state(late.id)) == (State.GRADED, State.REFUSED)


def test_an_older_push_can_be_graded_after_staff_have_ended_the_newer_one(house: House) -> None:
    old, new = entry("ada", 1, 1, state=State.PARKED), entry("ada", 2, 2, state=State.PARKED)
    house.spool.add(old)
    house.spool.add(new)
    retry(house.spool, old.id)
    house.steps()
    assert house.state(old.id) is State.SUPERSEDED
    drop(house.spool, new.id, "the older one, as was asked by mail")
    assert retry(house.spool, old.id).superseded_by == ""
    house.steps()
    assert house.builds.running == {old.id}


def test_a_build_that_cannot_be_stopped_is_named_beside_what_was_ended() -> None:
    class Stubborn(ScriptedBuilds):
        def cancel(self, entry: Entry) -> None:
            raise AwayError("Jenkins answers with 503", hint="it is asked again")

    with pytest.raises(InfrastructureError, match="is ended ungraded, but its build goes on: Jenkins answers") as said:
        stop_build(Stubborn(), entry())
    assert said.value.hint == "stop it where it runs, or let it end: what it comes to does not count"


def test_two_who_try_the_same_submission_again_start_it_once(house: House) -> None:
    one = entry(state=State.PARKED)
    house.spool.add(one)
    reopen = house.spool.reopen

    def reopened_meanwhile(submission: str, change: Callable[[Entry], Entry]) -> Entry:
        reopen(submission, change)
        house.steps()
        return reopen(submission, change)

    house.spool.reopen = reopened_meanwhile  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="is started"):
        retry(house.spool, one.id)
    house.steps(2)
    assert (house.state(one.id), house.builds.started) == (State.STARTED, [one.id])


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["push", "step", "restart", "finish", "lose", "infrastructure", "down", "minutes"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_whatever_happens_each_push_ends_once(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    pushed: list[str] = []
    for what, number in events:
        if what == "push":
            one = entry(f"student-{number}", len(pushed) + 1, len(pushed))
            house.spool.add(one)
            pushed.append(one.id)
        elif what == "step":
            house.steps()
        elif what == "restart":
            house.restart()
        elif what == "down":
            house.builds.failures.append(InfrastructureError("down"))
        elif what == "minutes":
            house.clock.forward(minutes=10)
        elif running := sorted(house.builds.running):
            submission = running[number % len(running)]
            if what == "lose":
                house.builds.lose(submission)
            else:
                outcome = Outcome.PASSED if what == "finish" else Outcome.INFRASTRUCTURE
                house.builds.finish(submission, outcome)
    house.builds.failures.clear()
    for _ in range(200):
        house.steps()
        house.builds.finish_all()
        house.clock.forward(minutes=10)
        for one in house.spool.active():
            if one.state is State.PARKED:
                retry(house.spool, one.id)
        if not house.spool.active():
            break
    over = house.spool.over()
    assert sorted(one.id for one in over) == sorted(pushed)
    assert {one.state for one in over} <= {State.GRADED, State.SUPERSEDED}
