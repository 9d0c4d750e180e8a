"""Pushes as nobody would wish them: crowds of references, odd names, odd clocks, broken settings between two hooks."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from support.pushes import Clone, clone_of_ada, course_of_ada, dispatching, spooled
from support.submissions import Clock, ScriptedBuilds

from pipeline.backends.ci import Look
from pipeline.errors import Outcome, UsageError
from pipeline.settings import late_days
from pipeline.submissions.arrivals import reconcile
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import Entry, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_of_ada(tmp_path)


@pytest.fixture
def clone(course: CourseFolder, tmp_path: Path) -> Clone:
    return clone_of_ada(course, tmp_path)


def test_no_crowd_of_references_hides_the_graded_one(course: CourseFolder, clone: Clone) -> None:
    """A hook that reads the first of them alone would let a late push of `main` pass unseen."""
    text = course.course_file.read_text()
    course.course_file.write_text(text.replace("2099-01-31", "2020-01-31"))
    clone.commit("x = 1\n")
    crowd = [f"main:refs/heads/a{number:03}-{'a' * 200}" for number in range(300)]
    assert "refused: it moves too many branches" in clone.push("origin", *crowd, "main", check=False)
    assert not (course.repository("ada", "mnist-train") / "refs/heads/main").exists()
    reconcile(course, Spool(course.spool))
    assert spooled(course) == []


@pytest.mark.parametrize("ref", ["refs/heads/main/x", "refs/replace/" + "1" * 40, f"refs/heads/{'x' * 240}"])
def test_a_reference_that_would_stand_in_the_way_is_refused(course: CourseFolder, clone: Clone, ref: str) -> None:
    clone.commit("x = 1\n")
    assert "refused: " in clone.push("origin", f"main:{ref}", check=False)
    assert "submission" in clone.push()


def test_a_repository_of_too_many_branches_can_be_cleared(course: CourseFolder, clone: Clone) -> None:
    clone.commit("x = 1\n")
    clone.push("origin", *(f"main:b{number}" for number in range(64)))
    assert "refused: the repository would have 65" in clone.push(check=False)
    clone.push("origin", ":b1")
    assert "submission" in clone.push()


def test_a_bound_that_staff_change_holds_for_repositories_that_are_there(course: CourseFolder, clone: Clone) -> None:
    """git asks its own settings for it, before any hook."""
    text, clock = course.course_file.read_text(), Clock()
    dispatcher = Dispatcher(course, Spool(course.spool), ScriptedBuilds(), Settings(1), clock)
    clone.commit(f"x = '{os.urandom(300_000).hex()}'\n")
    for most_mb, refused in ((0.1, True), (1.0, False)):
        course.course_file.write_text(text.replace("memory_mb = 512", f"source_mb = {most_mb}"))
        dispatcher.step()
        clock.forward(minutes=2)
        assert ("exceeds maximum" in clone.push(check=False)) is refused


def test_an_assignment_that_is_gone_leaves_no_repository_without_bounds(course: CourseFolder, clone: Clone) -> None:
    text = course.course_file.read_text()
    course.course_file.write_text(text.replace('name = "mnist-train"', 'name = "another"'))
    clone.commit("x = 1\n")
    assert "refused: " in clone.push("origin", *(f"main:b{number}" for number in range(65)), check=False)
    assert "is kept" in clone.push("origin", "main:b1")


ODD_NAMES = ["A\tda", "A\u2028da", "A\x85da", "A\x0c\x1eda", "\udcff\udcfe", "A> 1 +0000\tda"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_push_under_an_odd_name_is_found(course: CourseFolder, clone: Clone, name: str) -> None:
    commit = clone.commit("x = 1\n")
    clone.push(GIT_COMMITTER_NAME=name)
    assert [one.new for one in spooled(course)] == [commit]


def test_pushes_of_one_second_or_of_a_clock_set_back_keep_their_order(course: CourseFolder, clone: Clone) -> None:
    commits: list[str] = []
    for at in (1_800_000_100, 1_800_000_100, 1_800_000_050, 1_800_000_050, 1_800_000_050):
        commits.append(clone.commit(f"x = {len(commits)}\n"))
        clone.push(GIT_COMMITTER_DATE=f"@{at} +0000")
    assert [one.new for one in spooled(course)] == commits
    builds = ScriptedBuilds()
    Dispatcher(course, Spool(course.spool), builds, Settings(slots=1)).step()
    assert [Spool(course.spool).get(one).new for one in builds.started] == commits[-1:]


def test_two_pushes_in_the_last_second_are_both_in_time(course: CourseFolder, clone: Clone) -> None:
    deadline = (now() + timedelta(hours=2)).replace(microsecond=0)
    commits = []
    for number in (1, 2):
        commits.append(clone.commit(f"x = {number}\n"))
        clone.push(GIT_COMMITTER_DATE=f"@{int(deadline.timestamp())} +0000")
    assert [(one.new, late_days(one.arrived, deadline)) for one in spooled(course)] == [(one, 0) for one in commits]


@pytest.mark.parametrize(("seconds", "late"), [(3, 0), (3600, 1)])
def test_what_was_let_in_at_the_last_moment_is_not_too_late_by_what_the_hooks_took(
    course: CourseFolder, clone: Clone, seconds: int, late: int
) -> None:
    """The reference moves a moment after it was asked whether it may: with many pushes a long one."""
    deadline = (now() + timedelta(hours=2)).replace(microsecond=0)
    text = re.sub(r"(?m)^deadline = .*$", f"deadline = {deadline.isoformat()}", course.course_file.read_text())
    course.course_file.write_text(re.sub(r"(?m)^late = .*$", "", text))
    commits = []
    for after in (0, seconds):
        commits.append(clone.commit(f"x = {after}\n"))
        assert "submission" in clone.push(GIT_COMMITTER_DATE=f"@{int(deadline.timestamp()) + after} +0000")
    found = spooled(course)
    assert [(one.new, late_days(one.arrived, deadline)) for one in found] == list(zip(commits, (0, late), strict=True))


def test_the_last_moment_is_that_of_the_students_own_deadline(course: CourseFolder, clone: Clone) -> None:
    own = (now() + timedelta(hours=2)).replace(microsecond=0)
    text = course.course_file.read_text().replace("2099-01-31T23:59:59+01:00", (own - timedelta(days=9)).isoformat())
    extension = f'[[assignments.extensions]]\nstudent = "ada"\ndeadline = {own.isoformat()}\n'
    course.course_file.write_text(re.sub(r"(?m)^late = .*$", "", text) + extension)
    clone.commit("x = 1\n")
    assert "submission" in clone.push(GIT_COMMITTER_DATE=f"@{int(own.timestamp()) + 3} +0000")
    assert [late_days(one.arrived, own) for one in spooled(course)] == [0]


def test_one_repository_that_cannot_be_read_keeps_nobody_else_from_being_found(
    course: CourseFolder, clone: Clone
) -> None:
    commit = clone.commit("x = 1\n")
    clone.push(PIPELINE_DIE_AT="post-receive:1")
    assert spooled(course) == []
    (course.repositories / "Not a name").mkdir()
    (course.repositories / "Not a name" / "mnist-train.git").mkdir()
    (course.repositories / "a" / "mnist-train.git" / "logs/refs/heads/main").mkdir(parents=True)
    (course.repositories / "gone").symlink_to("nowhere")
    said: list[str] = []
    reconcile(course, Spool(course.spool), said.append)
    assert [one.new for one in spooled(course)] == [commit]
    assert "'Not a name' is no name" in said[0]


def test_a_push_while_the_settings_are_broken_is_kept_and_found_later(course: CourseFolder, clone: Clone) -> None:
    """Broken between the two hooks: the first has let it in."""
    commit = clone.commit("x = 1\n")
    hook = course.repository("ada", "mnist-train") / "hooks" / "post-receive"
    hook.write_text(hook.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\necho [ >> {course.course_file}\n"))
    text = course.course_file.read_text()
    said = clone.push(PIPELINE_PUSH_FOLLOWS="1")
    assert "your push is kept all the same" in said
    assert "Traceback" not in said
    course.course_file.write_text(text)
    assert [one.new for one in reconcile(course, Spool(course.spool))] == [commit]


def test_a_pusher_reads_what_to_do_and_not_what_is_wrong_in_the_settings(course: CourseFolder, clone: Clone) -> None:
    """Which may hold what no student is to know: a fault names what stands there."""
    text = course.course_file.read_text()
    course.course_file.write_text(text.replace("attempts = 20", 'attempts = "the secret answer"'))
    clone.commit("x = 1\n")
    said = clone.push(check=False)
    assert "settings cannot be read" in said
    assert "tell the staff, and push again" in said
    assert "secret answer" not in said
    assert str(course.folder) not in said.replace(str(course.repositories), "")


def test_what_a_build_server_says_is_harmless_for_a_terminal(course: CourseFolder, clone: Clone) -> None:
    class Odd(ScriptedBuilds):
        def start(self, entry: Entry) -> None:
            self.ends[entry.id] = Look("ended", outcome=Outcome.PASSED, url="\x1b]0;title\x07a\u202e\x00b")

    clone.commit("x = 1\n")
    with dispatching(course, Odd()):
        said = clone.push(PIPELINE_PUSH_FOLLOWS="1")
    assert "remote: report: ab" in said


def test_a_push_that_finds_no_room_in_the_spool_is_kept_and_found_later(course: CourseFolder, clone: Clone) -> None:
    """A bound of nothing on what the hook writes stands for a disk that is full."""
    commit = clone.commit("x = 1\n")
    hook = course.repository("ada", "mnist-train") / "hooks" / "post-receive"
    hook.write_text(hook.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nulimit -f 0\n"))
    said = clone.push(PIPELINE_PUSH_FOLLOWS="1")
    assert "your push is kept all the same" in said
    assert "Traceback" not in said
    assert [path.name for path in (course.spool / "active").iterdir()] == []
    assert [one.new for one in reconcile(course, Spool(course.spool))] == [commit]


def test_a_course_by_another_name_does_not_grade_everything_anew(course: CourseFolder, clone: Clone) -> None:
    clone.commit("x = 1\n")
    clone.push()
    text = course.course_file.read_text()
    name = course.course().name
    course.course_file.write_text(text.replace(f'name = "{name}"', 'name = "renamed"'))
    with pytest.raises(UsageError, match=f"what was submitted here is {name}'s"):
        reconcile(course, Spool(course.spool))
    course.course_file.write_text(text)
    assert reconcile(course, Spool(course.spool)) == []
