"""Staff are told once of what is parked, by their own command, and a command that fails loses nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from support.submissions import course_folder, entry

from pipeline.submissions import alerts
from pipeline.submissions.alerts import APART_S, MOST_NAMED, Alerts, alerting
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder

KEEP = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '---\\n')"


class Staff:
    """A course whose alerts go to a file."""

    def __init__(self, folder: Path) -> None:
        self.course: CourseFolder = course_folder(folder)
        self.letters = folder / "letters"
        self.command(sys.executable, "-c", KEEP, str(self.letters))
        self.at = 0.0
        self.complaints: list[str] = []
        self.alerts = self.started()

    def started(self) -> Alerts:
        return Alerts(self.course, self.complaints.append, lambda: self.at)

    def command(self, *words: str) -> None:
        text = self.course.course_file.read_text()
        rest = [line for line in text.splitlines() if not line.startswith("alert =")]
        self.course.course_file.write_text("\n".join([f"alert = {json.dumps(words)}", *rest]))

    def park(self, number: int, reason: str = "no store answers", **values: object) -> Entry:
        made = entry("ada", number, number, state=State.PARKED, reason=reason, **values)
        self.alerts.spool.add(made)
        return made

    def told(self) -> list[str]:
        return self.letters.read_text().split("---\n")[:-1] if self.letters.exists() else []

    def look(self, later_s: float = APART_S) -> list[str]:
        self.alerts.look()
        self.at += later_s
        return self.told()


@pytest.fixture
def staff(tmp_path: Path) -> Staff:
    return Staff(tmp_path)


def test_nothing_is_said_where_nothing_is_parked(staff: Staff) -> None:
    staff.alerts.spool.add(entry("ada", 1, 0))
    assert staff.look() == []


def test_what_is_parked_is_told_once_also_by_the_next_dispatcher(staff: Staff) -> None:
    parked = staff.park(1, "no store answers\x1b[31m\nat all")
    (letter,) = staff.look()
    assert "1 submission is parked" in letter
    assert f"{parked.short} ada {parked.assignment}: no store answers at all" in letter
    assert f"pipeline queue list {staff.course.folder}" in letter
    staff.alerts = staff.started()
    assert len(staff.look()) == 1


def test_what_was_tried_again_and_is_parked_anew_is_told_again(staff: Staff) -> None:
    parked = staff.park(1)
    staff.look()
    staff.alerts.spool.change(parked.id, lambda one: one.model_copy(update={"started": parked.arrived}))
    assert len(staff.look()) == 2


def test_an_outage_is_few_alerts_and_names_only_so_many(staff: Staff) -> None:
    staff.park(1)
    staff.look(later_s=0)
    for number in range(2, MOST_NAMED + 5):
        staff.park(number)
        staff.look(later_s=1)
    assert len(staff.told()) == 1
    staff.at += APART_S
    letter = staff.look()[-1]
    assert f"{MOST_NAMED + 3} submissions are parked" in letter
    assert "and 3 more" in letter


@pytest.mark.parametrize("command", [["/no/such/program"], ["false"]])
def test_a_command_that_fails_is_complained_of_and_called_again(staff: Staff, command: list[str]) -> None:
    staff.park(1)
    staff.command(*command)
    assert staff.look() == []
    assert staff.look() == []
    (first, _) = staff.complaints
    assert "staff could not be told of parked submissions" in first
    assert command[0] in first
    staff.command(sys.executable, "-c", KEEP, str(staff.letters))
    assert len(staff.look()) == 1


def test_a_command_that_hangs_is_ended(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "COMMAND_S", 0.2)
    staff.park(1)
    staff.command("sleep", "600")
    staff.look()
    assert "timed out" in staff.complaints[0]


def test_it_looks_for_as_long_as_the_dispatcher_works(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "LOOK_S", 0.01)
    staff.park(1)
    with alerting(staff.course, staff.complaints.append):
        deadline = time.monotonic() + 60
        while not staff.told() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(staff.told()) == 1
