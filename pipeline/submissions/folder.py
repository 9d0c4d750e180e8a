"""A course's folder on the server: settings, repositories, spool, builds. Every path in it is named here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.submissions.names import checked_id, checked_name

if TYPE_CHECKING:
    from pipeline.settings import Course

MEND_MEMBERS = "bring it back from a backup; or remove it and add each student again, who then has a new token"


class CourseFolder:
    """Paths only; what is in them belongs to the other modules of this package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.course_file = self.folder / "course.toml"
        self.repositories = self.folder / "repositories"
        self.spool = self.folder / "spool"
        self.builds = self.folder / "builds"
        self.secrets = self.folder / "secrets"
        self.members_file = self.secrets / "members.json"
        self.roster_lock = self.secrets / "lock"
        self.webhook_file = self.secrets / "webhook"
        self.remotes_file = self.folder / "remotes.json"
        self.closing_file = self.spool / "closing"
        self.alerted_file = self.spool / "alerted.json"
        self.name_file = self.spool / "course"
        self.dispatcher_lock = self.spool / "dispatcher.lock"
        self.ssh_places = self.spool / "ssh"
        self.hook_socket = self.spool / "hooks.sock"

    @classmethod
    def open(cls, folder: Path) -> CourseFolder:
        """Raises UsageError where the folder is no course's."""
        found = cls(folder)
        if not found.course_file.is_file():
            raise UsageError(
                f"{folder} is no course's folder: it has no course.toml",
                hint=f"`pipeline course create {folder} --from FILE`",
            )
        return found

    def course(self) -> Course:
        """The settings, read anew at each call: staff change a deadline while the course runs.

        Its name stays: submissions' ids are made of it, and under another one all would be found and graded anew.
        """
        from pipeline.course import load_course  # all settings of all kinds, which whoever wants a path needs not

        course = load_course(self.course_file).course
        named = self.named()
        if named not in {"", course.name}:
            raise UsageError(
                f"{self.course_file} names the course {course.name}, and what was submitted here is {named}'s",
                hint=f"name it {named} again; for another course make another folder",
            )
        return course

    def named(self) -> str:
        """The name that the course was made with; empty where nobody has written it down."""
        try:
            return self.name_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def repository(self, student: str, assignment: str) -> Path:
        return self.repositories / checked_name(student) / f"{checked_name(assignment)}.git"

    def build(self, submission: str) -> Path:
        """The folder of one submission's build: its console's text, its lock, and `run/`."""
        return self.builds / checked_id(submission)

    def console(self, submission: str) -> Path:
        return self.build(submission) / "console.log"

    def run(self, submission: str) -> Path:
        return self.build(submission) / "run"
