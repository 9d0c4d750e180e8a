"""A real `git push` to a course's repository: what the pusher reads, what is refused, what is found after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.deaths import of_first, passed
from support.pushes import STUDENT, Clone, clone_of_ada, course_of_ada, dispatching, spooled
from support.submissions import ScriptedBuilds

from pipeline.cli.git_shell import AT_ONCE, asked_for, take_place
from pipeline.errors import UsageError
from pipeline.submissions.arrivals import reconcile
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import authorized_keys, read_key
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_of_ada(tmp_path)


@pytest.fixture
def clone(course: CourseFolder, tmp_path: Path) -> Clone:
    return clone_of_ada(course, tmp_path)


def test_a_push_is_in_the_spool_with_its_commit(course: CourseFolder, clone: Clone) -> None:
    commit = clone.commit("x = 1\n")
    said = clone.push()
    (entry,) = spooled(course)
    assert f"remote: submission {entry.short} of mnist-train, arrived" in said
    assert (entry.new, entry.student, entry.state) == (commit, "ada", State.WAITING)


def test_the_pusher_follows_to_the_grade(course: CourseFolder, clone: Clone) -> None:
    class Talking(ScriptedBuilds):
        def start(self, entry: Entry) -> None:
            super().start(entry)
            console = course.console(entry.id)
            console.parent.mkdir(parents=True, exist_ok=True)
            console.write_bytes(
                b"[2026-11-24T12:00:00Z] fetch done\n\x1b[31mred\x1b[0m \x1b]0;title\x07text\nwithout an end"
            )
            self.finish(entry.id, points=95.0)

    clone.commit("x = 1\n")
    with dispatching(course, Talking()):
        said = clone.push(PIPELINE_PUSH_FOLLOWS="1")
    lines = [line.removeprefix("remote: ").rstrip() for line in said.splitlines() if line.startswith("remote:")]
    assert lines[1:] == [
        *(line for line in lines[1:-5] if line.startswith("waiting, place 1 of 1")),
        "fetch done",
        "red text",
        "without an end",
        "passed, 95 of 100 points (attempt 1 of 20)",
        "report: report.html",
    ]


def test_without_a_dispatcher_the_pusher_is_told_and_let_go(course: CourseFolder, clone: Clone) -> None:
    clone.commit("x = 1\n")
    assert "kept; no dispatcher runs at present" in clone.push(PIPELINE_PUSH_FOLLOWS="1")
    assert [one.state for one in spooled(course)] == [State.WAITING]


def test_a_pusher_who_goes_changes_nothing_and_leaves_nothing_running(course: CourseFolder, clone: Clone) -> None:
    builds = ScriptedBuilds()
    clone.commit("x = 1\n")
    command = ["git", "-C", str(clone.folder), "push", "origin", "main"]
    environment = {**os.environ, **STUDENT, "PIPELINE_PUSH_FOLLOWS": "1"}
    with dispatching(course, builds):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as push:
            assert push.stderr is not None
            assert any("submission" in line for line in push.stderr)
            push.kill()
        while not builds.running:
            time.sleep(0.05)
        builds.finish_all()
        while spooled(course):
            time.sleep(0.05)
    assert [one.state for one in Spool(course.spool).over()] == [State.GRADED]


def test_what_was_graded_is_neither_rewritten_nor_deleted(course: CourseFolder, clone: Clone) -> None:
    first = clone.commit("x = 1\n")
    clone.push()
    clone.git("commit", "-q", "--amend", "-m", "another")
    assert "refused: main was rewritten" in clone.push("--force", "origin", "main", check=False)
    assert "refused: main is what is graded" in clone.push("origin", ":main", check=False)
    assert [one.new for one in spooled(course)] == [first]


def test_other_branches_are_kept_and_not_graded(course: CourseFolder, clone: Clone) -> None:
    clone.commit("x = 1\n")
    said = clone.push("origin", "main:experiment", "main:refs/heads/$(id)", "main:refs/tags/v1")
    assert "refs/heads/experiment is kept; only main is graded: `git push origin experiment:main` submits it" in said
    assert said.count("submits it") == 1
    assert spooled(course) == []


def test_what_is_late_but_accepted_is_told_what_that_costs(course: CourseFolder, clone: Clone) -> None:
    due = datetime.now(UTC) - timedelta(hours=30)
    text = course.course_file.read_text()
    course.course_file.write_text(text.replace("2099-01-31T23:59:59+01:00", due.isoformat()))
    clone.commit("x = 1\n")
    said = clone.push()
    assert "UTC, 2 days late: 20 % of the points taken" in said


def test_what_is_too_late_is_refused(course: CourseFolder, clone: Clone) -> None:
    text = course.course_file.read_text()
    course.course_file.write_text(text.replace("2099-01-31", "2020-01-31"))
    clone.commit("x = 1\n")
    said = clone.push(check=False)
    assert "refused: it is too late: mnist-train was open until 2020-02-02" in said
    assert spooled(course) == []


def test_an_extension_lets_one_student_in(course: CourseFolder, clone: Clone, tmp_path: Path) -> None:
    add_student(course, "bob")
    other = Clone(tmp_path / "other", course.repository("bob", "mnist-train"))
    text = course.course_file.read_text().replace("2099-01-31", "2020-01-31")
    extension = '[[assignments.extensions]]\nstudent = "ada"\ndeadline = 2099-02-07T12:00:00Z\n'
    course.course_file.write_text(text + extension)
    for one in (clone, other):
        one.commit("x = 1\n")
    assert "refused: it is too late" in other.push(check=False)
    said = clone.push()
    assert "arrived" in said
    assert "late" not in said
    assert [one.student for one in spooled(course)] == ["ada"]


def test_what_is_too_large_is_refused(course: CourseFolder, clone: Clone) -> None:
    (clone.folder / "data.bin").write_bytes(os.urandom(21 * 2**20))
    clone.git("add", "data.bin")
    clone.commit("x = 1\n")
    assert "pack exceeds maximum allowed size" in clone.push(check=False)
    assert spooled(course) == []


def test_objects_are_checked(course: CourseFolder, clone: Clone) -> None:
    """A tree with an entry `.git` would write into a clone's own folder."""
    blob = clone.git("hash-object", "-w", "--stdin-paths", check=False)
    clone.commit("x = 1\n")
    blob = clone.git("rev-parse", "HEAD:model.py")
    bare = subprocess.run(
        ["git", "-C", str(clone.folder), "mktree"],
        input=f"100644 blob {blob.stdout.strip()}\t.git\n",
        capture_output=True,
        text=True,
        check=True,
    )
    commit = clone.git("commit-tree", bare.stdout.strip(), "-p", "HEAD", "-m", "evil")
    assert "hasDotgit" in clone.push("origin", f"{commit.stdout.strip()}:refs/heads/main", check=False)
    assert spooled(course) == []


def test_a_push_is_found_wherever_its_hooks_were_killed(course: CourseFolder, clone: Clone, tmp_path: Path) -> None:
    """Where pre-receive dies nothing is let in; where post-receive does, the reconciler finds what was."""
    pushed = [clone.commit("x = 0\n")]
    clone.push(PIPELINE_DIE_LOG=str(tmp_path / "points"))
    points = passed(tmp_path / "points")
    before = len(of_first(points))
    after = len(points) - before
    print(f"pre-receive passes {before} points, post-receive {after}")
    assert before >= 1
    assert after >= 3
    for at in range(1, before + 1):
        commit = clone.commit(f"x = -{at}\n")
        assert "pre-receive hook declined" in clone.push(check=False, PIPELINE_DIE_AT=f"pre-receive:{at}")
        assert reconcile(course, Spool(course.spool)) == []
        clone.push()
        pushed.append(commit)
    for at in range(1, after + 1):
        pushed.append(clone.commit(f"x = {at}\n"))
        clone.push(PIPELINE_DIE_AT=f"post-receive:{at}")
    reconcile(course, Spool(course.spool))
    assert [one.new for one in spooled(course)] == pushed
    assert reconcile(course, Spool(course.spool)) == []


SSHD = """#!/bin/sh
# stands for ssh and sshd: the client's last argument is what it asks for, the key is that of {student}
for asked; do :; done
SSH_ORIGINAL_COMMAND=$asked exec {command} {student}
"""


def over_ssh(course: CourseFolder, folder: Path, student: str) -> str:
    """GIT_SSH of a client whose key sshd has found in `pipeline course keys`."""
    lines = authorized_keys(course, f"{sys.executable} -P -m pipeline.cli.git_shell {course.folder}").splitlines()
    (line,) = [one for one in lines if f'{student}" ssh-ed25519' in one]
    command = line.removeprefix('restrict,command="').split(f' {student}"')[0]
    script = folder / f"ssh-{student}"
    script.write_text(SSHD.format(command=command, student=student))
    script.chmod(0o755)
    return str(script)


def test_a_key_opens_the_own_repositories_to_git_and_nothing_else(course: CourseFolder, tmp_path: Path) -> None:
    for student in ("ada", "bob"):
        add_student(course, student, (f"ssh-ed25519 {'A' * 68} {student}@home",))
    clone = Clone(tmp_path / "clone", course.repository("ada", "mnist-train"))
    clone.commit("x = 1\n")
    address = "git@course:ada/mnist-train.git"
    assert "submission" in clone.push(address, "main", GIT_SSH=over_ssh(course, tmp_path, "ada"))
    for client in (["push", address, "main:main"], ["ls-remote", address], ["fetch", address]):
        refused = clone.git(*client, check=False, GIT_SSH=over_ssh(course, tmp_path, "bob"))
        assert refused.returncode
        assert "there is no such repository, or it is another's" in refused.stderr
    assert len(spooled(course)) == 1


def test_one_students_connections_leave_memory_for_everybody_else(course: CourseFolder) -> None:
    """git holds the place that its shell took, until it ends."""
    held = [take_place(course.ssh_places, "ada") for _ in range(AT_ONCE - 1)]
    asked = {**os.environ, "SSH_ORIGINAL_COMMAND": "git-upload-pack 'ada/mnist-train.git'"}
    shell = [sys.executable, "-P", "-m", "pipeline.cli.git_shell", str(course.folder), "ada"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=asked) as git:
        assert git.stdin and git.stdout and git.stdout.read(4), "it has begun to speak"
        refused = subprocess.run(shell, capture_output=True, text=True, env=asked)
        assert "wait for one of them to end" in refused.stderr
        os.close(take_place(course.ssh_places, "bob"))
        git.stdin.write(b"0000")
    for one in (take_place(course.ssh_places, "ada"), *held):
        os.close(one)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "sh",
        "git-receive-pack 'ada/mnist-train.git'; id",
        "git-receive-pack '../bob/mnist-train.git'",
        "git-receive-pack 'ada/../bob/mnist-train.git'",
        "git-upload-archive 'ada/mnist-train.git'",
        "git-receive-pack '--help/mnist-train.git'",
        "git-receive-pack 'ada/mnist-train.git'\n",
    ],
)
def test_what_is_no_push_or_fetch_is_refused(course: CourseFolder, asked: str) -> None:
    with pytest.raises(UsageError):
        asked_for(course, "ada", asked)


@pytest.mark.parametrize(
    "text", ['command="sh" ssh-ed25519 ' + "A" * 68, "ssh-ed25519 short", "ssh-dss " + "A" * 68, "\n"]
)
def test_a_key_with_options_is_no_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.pub").write_text(text)
    with pytest.raises(UsageError, match="no public ssh key"):
        read_key(tmp_path / "key.pub")


def test_the_token_is_kept_as_a_hash(course: CourseFolder) -> None:
    token, _ = add_student(course, "bob")
    assert token not in course.members_file.read_text()
    assert set(json.loads(course.members_file.read_text())) == {"ada", "bob"}
    assert course.members_file.stat().st_mode & 0o777 == 0o600
