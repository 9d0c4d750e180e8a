"""Bad luck of an operator: broken settings, a build server that fails oddly, builds that hang, clocks set back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.submissions import Clock, ScriptedBuilds, course_folder, entry

from pipeline.backends.ci import Look
from pipeline.errors import CourseError, InfrastructureError, ThrottledError, UsageError
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.dispatching import dispatch, only_dispatcher
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.spool import Spool


class Unlucky(ScriptedBuilds):
    """Builds that fail for some students in ways that no contract names."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: dict[str, Exception] = {}
        self.stubborn = False

    def start(self, entry: Entry) -> None:
        if entry.student in self.odd:
            raise self.odd[entry.student]
        super().start(entry)

    def look(self, entry: Entry) -> Look:
        if entry.student in self.odd:
            raise self.odd[entry.student]
        return super().look(entry)

    def cancel(self, entry: Entry) -> None:
        if self.stubborn:
            raise InfrastructureError("process 7 did not stop", hint="kill -9 7")
        super().cancel(entry)


class House:
    def __init__(self, folder: Path) -> None:
        self.course = course_folder(folder)
        self.spool, self.builds, self.clock, self.ticks = Spool(self.course.spool), Unlucky(), Clock(), 0.0
        settings = Settings(slots=4, longest_s=3600.0)
        self.dispatcher = Dispatcher(
            self.course, self.spool, self.builds, settings, self.clock, ticks=lambda: self.ticks
        )
        self.ada, self.bob = entry("ada"), entry("bob", 1, 1)
        self.spool.add(self.ada)
        self.spool.add(self.bob)

    def state(self, one: Entry) -> State:
        return self.spool.get(one.id).state


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), UsageError("odd"), InfrastructureError("x")])
def test_what_goes_wrong_with_one_stops_no_other(house: House, error: Exception) -> None:
    house.builds.odd["ada"] = error
    house.dispatcher.step()
    assert house.builds.started == [house.bob.id]
    assert house.state(house.ada) is State.WAITING
    del house.builds.odd["ada"]
    house.clock.forward(minutes=10)
    house.dispatcher.step()
    house.builds.odd["ada"] = error
    house.builds.finish_all()
    house.dispatcher.step()
    assert house.state(house.bob) is State.GRADED
    del house.builds.odd["ada"]
    house.dispatcher.step()
    assert house.state(house.ada) is State.GRADED


def test_what_runs_ends_well_while_the_settings_are_broken(house: House) -> None:
    house.dispatcher.step()
    text = house.course.course_file.read_text()
    house.course.course_file.write_text("[")
    house.builds.finish_all()
    with pytest.raises((UsageError, CourseError)):
        house.dispatcher.step()
    assert house.state(house.ada) is State.GRADED
    house.course.course_file.write_text(text)
    house.dispatcher.step()


def test_settings_that_were_broken_while_it_runs_are_complained_of_with_their_fault(house: House) -> None:
    text = house.course.course_file.read_text()
    house.course.course_file.write_text(text.replace("attempts = ", "attemps = "))
    said: list[str] = []
    stopping = threading.Event()

    def complain(what: str) -> None:
        said.append(what)
        stopping.set()

    dispatch(house.dispatcher, stopping, complain)
    assert "unknown key `attemps` (did you mean `attempts`?)" in said[0]


def test_a_broken_entry_is_complained_of_once_and_stops_nobody(house: House) -> None:
    (house.spool.active_folder / f"{house.ada.id}.json").write_text("{")
    said: list[str] = []
    stopping = threading.Event()
    worker = threading.Thread(target=dispatch, args=(house.dispatcher, stopping, said.append))
    worker.start()
    while house.state(house.bob) is not State.GRADED:
        house.builds.finish_all()
        stopping.wait(0.02)
    stopping.set()
    worker.join()
    assert len(said) == 1
    assert f"{house.ada.id}.json is no entry of the spool" in said[0]


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_build_that_never_ends_takes_no_slot_for_ever(house: House, stubborn: bool) -> None:
    house.dispatcher.step()
    house.builds.finish(house.bob.id)
    for _ in range(3):
        house.dispatcher.step()
        house.ticks += 1500
    assert house.state(house.ada) is State.STARTED
    house.builds.stubborn = stubborn
    house.ticks += 1500
    house.dispatcher.step()
    parked = house.spool.get(house.ada.id)
    assert (parked.state, house.state(house.bob)) == (State.PARKED, State.GRADED)
    assert ("kill -9 7" if stubborn else "did not end within 1 h") in parked.reason


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (InfrastructureError("Jenkins refused result.json with 302"), State.PARKED),
        (ThrottledError("Jenkins cannot be reached", wait_s=10), State.STARTED),
    ],
)
def test_a_build_that_nobody_can_look_at_takes_no_slot_for_ever(house: House, error: Exception, state: State) -> None:
    """One whose server is away is waited for: it may have ended well meanwhile."""
    house.dispatcher.step()
    house.builds.odd["ada"] = error
    for _ in range(3):
        house.dispatcher.step()
        house.ticks += 3000
    assert house.state(house.ada) is state
    assert str(error) in house.spool.get(house.ada.id).reason


def test_a_clock_that_is_set_back_keeps_nobody_waiting(house: House) -> None:
    house.builds.failures = [InfrastructureError("down")] * 2
    house.dispatcher.step()
    assert house.builds.started == []
    house.clock.forward(days=-30)
    house.dispatcher.step()
    assert sorted(house.builds.started) == sorted([house.ada.id, house.bob.id])
    assert house.dispatcher.reconciled == house.clock()


def test_who_was_told_that_the_server_stops_is_not_told_so_for_ever(house: House) -> None:
    """After `serve --course` was stopped, `pipeline dispatch` goes on with the course."""
    house.course.closing_file.touch()
    with only_dispatcher(house.course):
        assert not house.course.closing_file.exists()


def test_one_build_that_does_not_stop_keeps_no_other_running(house: House) -> None:
    house.dispatcher.step()
    house.builds.stubborn = True
    house.dispatcher.troubles = ["what went wrong in the last step"]
    house.dispatcher.pause()
    entries = house.spool.active()
    assert [(one.state, one.tries) for one in entries] == [(State.WAITING, 0)] * 2
    assert len(house.dispatcher.troubles) == 2
