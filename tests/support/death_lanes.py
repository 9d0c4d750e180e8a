"""Folders in which a run is killed at point after point, each time from what lay there before that stage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Lock, Thread

from pipeline.embedded.client import reap
from pipeline.errors import Outcome
from pipeline.run import STAGE_NAMES
from pipeline.source import remove_folder
from pipeline.submissions.entry import Entry
from support.deaths import KILLED, LANES, SURVIVED, Point, of_first, of_module, passed
from support.mortal_runs import (
    WHEEL,
    Command,
    graded,
    left_by,
    left_running,
    outcome_of,
    processes_of,
    shortest_course,
    training,
)
from support.ready_process import ReadyProcess

SHORT = STAGE_NAMES[: STAGE_NAMES.index("execute")]
"""Of what a death in these leaves, the end of the stage tells as much as that of the run, which takes longest."""
EMPTIED = {"check": ("locks", "uv"), "build": ("bases", "runners", "environments"), "execute": ("data",)}
"""What of the cache a stage puts there: a death on the way to that is not reached where it is there already."""


class Lane:
    """One run's folder, and what lay there before each of its stages: a death in a stage needs no walk up to it."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self.folder = folder / "one"
        self.before = folder / "before"
        self.log = folder / "points"
        self.cache = folder / "own-cache"
        course = shortest_course(folder / "course", cache=self.cache)
        self.process = ReadyProcess(folder / "output")
        self.run = Command(entry, course, self.process)
        self.points: dict[str, list[Point]] = {}
        self.whole_cache = folder / "whole-cache"
        self.emptied: Sequence[str] = ()
        self.expected: dict[str, object] = {}

    def walk(self) -> dict[str, object]:
        """Through all stages, nobody killed; what the push gets."""
        for name in STAGE_NAMES:
            reap(self.folder / "servers.json")
            self.keep(name)
            code, said = self.run.stage(name, self.folder, log=self.cleared())
            assert code == 0, (name, said)
            self.points[name] = passed(self.log)
        shutil.copytree(self.cache, self.whole_cache, symlinks=True, copy_function=os.link)
        self.expected = graded(self.folder)
        return self.expected

    def keep(self, name: str) -> None:
        if self.folder.exists():
            shutil.copytree(self.folder, self.before / name, symlinks=True)

    def back_to(self, name: str, *, emptied: Sequence[str] = ()) -> None:
        """As before that stage, and with the cache of the whole walk but for what is to be put there anew."""
        reap(self.folder / "servers.json")
        remove_folder(self.folder)
        if (self.before / name).exists():
            shutil.copytree(self.before / name, self.folder, symlinks=True)
        for name in {*self.emptied, *emptied}:
            remove_folder(self.cache / name)
            if name not in emptied:
                shutil.copytree(self.whole_cache / name, self.cache / name, symlinks=True, copy_function=os.link)
        self.emptied = emptied

    def goes_on_through(self, stage: str) -> None:
        """A build that is made again walks from the first stage on; after this one all is as if nobody had died."""
        names = STAGE_NAMES[: STAGE_NAMES.index(stage) + 1]
        for name in names:
            code, said = self.run.stage(name, self.folder)
            assert code == 0, (name, said)
        found, there = left_by(self.folder), left_by(self.before / STAGE_NAMES[len(names)])
        differing = [key for key in found | there if found.get(key) != there.get(key)]
        assert not differing, [(key, found.get(key), there.get(key)) for key in differing]
        reap(self.folder / "servers.json")
        assert not left_running(self.folder), left_running(self.folder)

    def has_executed(self) -> bool:
        file = self.folder / "record.json"
        stages = json.loads(file.read_text())["stages"] if file.exists() else []
        return any(one["name"] == "execute" and one["status"] in {"running", "done", "failed"} for one in stages)

    def put_away(self) -> None:
        """Keeps what a failure left, to be looked at, but for what runs."""
        for one in processes_of(self.folder):
            one.kill()
        if self.folder.exists():
            self.folder.rename(self.folder.with_name(f"failed-{time.monotonic_ns()}"))

    def cleared(self) -> Path:
        self.log.unlink(missing_ok=True)
        return self.log


@dataclass(frozen=True)
class Death:
    """In a stage, of the command itself or of the process that runs `module`."""

    stage: str
    point: Point
    module: str = ""

    def __str__(self) -> str:
        return f"{self.stage}: {self.module or 'the command'} before {self.point.place}"


@dataclass
class Loop:
    """Deaths, each in a run of its own that then goes on to its end; several lanes at a time."""

    lanes: list[Lane]
    died: list[Death] = field(default_factory=list)
    missed: list[Death] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def through(self, deaths: Sequence[Death]) -> None:
        """What takes long comes late, those before an fsync last: SIGKILL leaves there what it does before a rename."""
        before = SURVIVED.read_text().splitlines()
        waiting: Queue[Death] = Queue()
        for death in sorted(deaths, key=lambda one: (one.point.name.startswith("fsync"), one.stage == "execute")):
            if str(death) not in before:
                waiting.put(death)
        print(f"{len(deaths)} deaths, of which {len(deaths) - waiting.qsize()} were survived before", flush=True)
        threads = [Thread(target=self.work, args=(lane, waiting), daemon=True) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(
            f"{len(self.died)} died and went on, {len(self.missed)} came past it, {len(self.failed)} failed", flush=True
        )

    def work(self, lane: Lane, waiting: Queue[Death]) -> None:
        while True:
            try:
                death = waiting.get_nowait()
            except Empty:
                return
            try:
                reached = die_and_go_on(lane, death)
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                said, where = f"FAILED: {death}\n{error!r}", None
                lane.put_away()
            else:
                said = f"{'died and went on' if reached else 'not reached'}: {death}"
                where = self.died if reached else self.missed
            with self.lock:
                print(said, flush=True)
                self.failed += [said] if where is None else []
                if where is not None:
                    where.append(death)
                if where is self.died:
                    with SURVIVED.open("a") as file:
                        file.write(f"{death}\n")


def die_and_go_on(lane: Lane, death: Death) -> bool:
    """Whether it died there: how often a poll is made is the machine's affair."""
    lane.back_to(death.stage)
    reached = servant_dies(lane, death) if death.module else command_dies(lane, death)
    if not reached and not death.module and not death.point.is_poll:
        lane.back_to(death.stage, emptied=EMPTIED.get(death.stage, ()))
        reached = command_dies(lane, death)
    if death.stage in SHORT and not lane.has_executed():
        lane.goes_on_through(death.stage)
        return reached
    code, said = lane.run(lane.folder)
    assert code == 0, said
    found = graded(lane.folder)
    assert found == lane.expected, (found, said)
    assert not left_running(lane.folder), left_running(lane.folder)
    return reached


def command_dies(lane: Lane, death: Death) -> bool:
    code, said = lane.run.stage(death.stage, lane.folder, death.point.place)
    assert code in {KILLED, 0}, (code, said)
    return code == KILLED


def servant_dies(lane: Lane, death: Death) -> bool:
    """The run has a grade all the same, or is infrastructure's fault and free of charge; it leaves nothing running."""
    code, said = lane.run(lane.folder, f"{death.module}:{death.point.place}", lane.cleared())
    assert code in {0, Outcome.INFRASTRUCTURE.exit_code}, (code, said)
    assert outcome_of(lane.folder) == ("passed" if code == 0 else "infrastructure"), said
    assert not left_running(lane.folder), left_running(lane.folder)
    return any(one.place == death.point.place for one in of_module(death.module, passed(lane.log)))


@contextmanager
def opened(folder: Path, lanes: int = LANES) -> Iterator[list[Lane]]:
    """Lanes that have been walked along once, each at its own pace."""
    entry = training(folder / "repository", f"{WHEEL}==1.0\n")
    made = [Lane(folder / f"lane-{number}", entry) for number in range(lanes)]
    try:
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(Lane.walk, made))
        assert all(one == results[0] for one in results)
        yield made
    finally:
        for lane in made:
            reap(lane.folder / "servers.json")
            lane.process.end()


def deaths_of_command(lane: Lane, chosen: Callable[[list[Point]], list[Point]]) -> list[Death]:
    return [Death(stage, one) for stage, points in lane.points.items() for one in chosen(of_first(points))]


def deaths_of_module(lane: Lane, module: str) -> list[Death]:
    """In a run that goes on from `register`, where the servers are started, to its end."""
    lane.back_to("register")
    code, said = lane.run(lane.folder, log=lane.cleared())
    assert code == 0, said
    return [Death("register", one, module) for one in of_module(module, passed(lane.log))]
