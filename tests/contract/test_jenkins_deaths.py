"""Jenkins is killed before and after it answers each request, when a build starts and when one ends.

Each push ends exactly once, whether a killed Jenkins still has its queue or has forgotten it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.deaths import EVERY
from support.jenkins_bench import ENTRY, Bench, opened, result
from support.jenkins_server import Scripted
from support.submissions import Clock

from pipeline.cli.app import call
from pipeline.errors import Outcome
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import State
from pipeline.submissions.spool import Spool

LOGS = (b"[2026-08-01T10:16:00.000Z] fetch running\n", b"[2026-08-01T10:16:09.000Z] fetch done\n")
ASKED = {"POST buildWithParameters", "GET api/json", "GET queue/api/json", "GET queue/item/N/api/json"}
ASKED |= {"GET N/api/json", "GET N/logText/progressiveText", "GET N/artifact/report/result.json"}
OTHER_STEPS = {"before a build starts", "after a build started", "before a build ends", "after a build ended"}


class Push:
    """One submission in the spool, and a dispatcher that is asked to step until it is over."""

    def __init__(self, bench: Bench, die_at: int = 0) -> None:
        self.bench, self.server, self.died = bench, bench.server, False
        self.server.steps.clear()
        self.server.die_at, self.server.executors = die_at, 0
        self.server.written = self.server.counter
        self.spool, self.clock = Spool(bench.course.spool), Clock()
        self.entry = ENTRY.model_copy(update={"id": f"{die_at:032x}", "new": f"{die_at:040x}"})
        self.spool.add(self.entry)
        self.dispatcher = Dispatcher(bench.course, self.spool, bench.builds(), Settings(slots=1), self.clock)
        self.result = result(Outcome.FAILED, 42, self.entry.id)

    def goes_through(self) -> None:
        """It waits in Jenkins' queue for a while, is built, and its build ends: one thing a step."""
        events = [self.nothing, self.executor, self.first_lines, self.end]
        for _ in range(20):
            self.step()
            if not self.spool.active():
                return
            if self.server.is_dead:
                self.restart()
            elif events and events[0]():
                events.pop(0)
        raise AssertionError(self.spool.active())

    def step(self) -> None:
        self.dispatcher.step()
        self.clock.forward(minutes=6)

    def restart(self) -> None:
        """After a while in which nobody answers; whoever comes first gets the numbers that are forgotten."""
        self.step()
        self.died, self.server.die_at = True, 0
        self.server.open()
        if self.server.forgets:
            self.server.enqueue("ml/mnist-bob", {"SUBMISSION_ID": f"b{self.entry.id[1:]}"})

    def nothing(self) -> bool:
        return True

    def executor(self) -> bool:
        self.server.executors = 100
        return True

    def first_lines(self) -> bool:
        for build in self.builds():
            build.log = LOGS[0]
        return bool(self.builds())

    def end(self) -> bool:
        for build in self.builds():
            self.server.step("before a build ends")
            build.log, build.ended = b"".join(LOGS), "UNSTABLE"
            build.artifacts["report/result.json"] = self.result
            if not self.server.is_dead:
                self.server.step("after a build ended")
        return bool(self.builds())

    def builds(self) -> list[Scripted]:
        """Those of this submission."""
        of_all = self.server.items["ml/mnist-ada"].builds
        of_this = [one.program for one in of_all if one.parameters["SUBMISSION_ID"] == self.entry.id]
        return [one for one in of_this if isinstance(one, Scripted)]

    def ended_once(self) -> None:
        over = self.spool.get(self.entry.id)
        assert (over.state, over.outcome, over.points) == (State.GRADED, Outcome.FAILED, 42)
        assert over.attempt == len(self.spool.over()), "each push before it has used up one attempt"
        assert len(self.builds()) == 1
        assert self.bench.course.console(self.entry.id).read_bytes() == b"".join(LOGS)
        assert (self.bench.course.run(self.entry.id) / "result.json").read_bytes() == self.result


def pushed(bench: Bench, die_at: int = 0) -> list[str]:
    """Steps of a Jenkins that was there when it was looked at; a later one takes what it left."""
    push = Push(bench, die_at)
    push.goes_through()
    push.ended_once()
    assert push.died == bool(die_at)
    return list(bench.server.steps)


def of_each(steps: list[str]) -> list[int]:
    """Their numbers: of all, or of the first of each kind."""
    return [number for number, one in enumerate(steps, 1) if EVERY or one not in steps[: number - 1]]


@pytest.mark.parametrize("forgets", [False, True], ids=["keeps-its-queue", "forgets-its-queue"])
def test_a_push_ends_once_wherever_jenkins_dies(tmp_path: Path, forgets: bool) -> None:
    with opened(tmp_path) as bench:
        bench.sync()
        bench.server.forgets = forgets
        steps = pushed(bench)
        assert set(steps) == {f"{when} {one}" for when in ("before", "after") for one in ASKED} | OTHER_STEPS
        tried = of_each(steps)
        print(f"Jenkins, while a push goes through it: {len(steps)} steps, killed at {len(tried)}")
        for number in tried:
            pushed(bench, number)


def test_jobs_are_as_the_roster_says_wherever_jenkins_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path / "whole") as bench:
        bench.sync()
        steps = list(bench.server.steps)
    tried = of_each(steps)
    print(f"Jenkins, while its jobs are made: {len(steps)} steps, killed at {len(tried)}")
    for number in tried:
        with opened(tmp_path / f"at-{number}") as bench:
            bench.server.die_at = number
            assert call(["jenkins", "sync", str(bench.folder)]) == Outcome.INFRASTRUCTURE.exit_code
            assert "cannot be reached" in capsys.readouterr().err
            bench.server.open()
            bench.sync()
            assert call(["jenkins", "status", str(bench.folder)]) == 0
