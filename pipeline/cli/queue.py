"""`pipeline queue`: what was pushed and is not over, and what staff can do about it; `pipeline dispatch`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backends.choose import choose_builds
from pipeline.cli.output import output, styled, write_json
from pipeline.signals import stop_asked
from pipeline.submissions.alerts import alerting
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.dispatching import dispatch as work
from pipeline.submissions.dispatching import only_dispatcher
from pipeline.submissions.entry import Entry, State, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.hook_server import answering_hooks
from pipeline.submissions.queue import Place, places
from pipeline.submissions.regrades import words_of
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import drop as end_ungraded
from pipeline.submissions.staff import retry as try_again
from pipeline.submissions.staff import stop_build

app = typer.Typer(no_args_is_help=True, help="What was pushed and is not graded yet.")
Folder = Annotated[Path, typer.Argument(help="the course's folder", metavar="DIR", show_default=False)]
Submission = Annotated[
    str, typer.Argument(help="a submission's id, or its beginning", metavar="ID", show_default=False)
]


@app.command("list", short_help="what waits, runs, or is parked")
def list_entries(
    folder: Folder,
    everything: Annotated[bool, typer.Option("--all", help="also what is over")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List submissions with their places and reasons; parked ones need staff."""
    spool = Spool(CourseFolder.open(folder).spool)
    active = spool.active()
    entries = [*(spool.over() if everything else ()), *active]
    if as_json:
        write_json([one.model_dump(mode="json") for one in entries])
    else:
        show_entries(entries, places(active, now()))
    spool.must_be_whole()


def show_entries(entries: Sequence[Entry], known: Mapping[str, Place]) -> None:
    for one in entries:
        output().print(styled(line(one, known.get(one.id))))
    if not entries:
        output().print(styled("nothing waits, nothing runs, nothing is parked"))


def line(entry: Entry, place: Place | None) -> str:
    said = f"place {place.number}: {place.reason}" if place else entry.reason
    if entry.state is State.SUPERSEDED:
        said = f"by {entry.superseded_by[:10]}"
    if entry.state is State.GRADED and entry.outcome is not None:
        said = entry.outcome.value if entry.points is None else f"{entry.outcome.value}, {entry.points:g} points"
    said = "; ".join(filter(None, (said, words_of(entry))))
    return f"{entry.short}  {entry.state.value:<10}  {entry.student:<20} {entry.assignment:<20} {said}"


@app.command("retry", short_help="try a submission again")
def retry(folder: Folder, submission: Submission) -> None:
    """Let a submission be tried again that was parked, refused or superseded; its time of arrival stays."""
    entry = try_again(Spool(CourseFolder.open(folder).spool), submission)
    output().print(styled(f"{entry.short} waits again"))


@app.command("drop", short_help="end a submission ungraded")
def drop(
    folder: Folder,
    submission: Submission,
    why: Annotated[str, typer.Option("--why", help="what the student reads")] = "the staff have ended it",
) -> None:
    """End a submission ungraded, at no cost of an attempt; a build of it is stopped."""
    course = CourseFolder.open(folder)
    entry = end_ungraded(Spool(course.spool), submission, why)
    if entry.state is State.STARTED:
        stop_build(choose_builds(course), entry)
    output().print(styled(f"{entry.short} is refused: {why}"))


def dispatch(
    folder: Folder,
    slots: Annotated[
        int | None, typer.Option(help="builds at a time", min=1, max=256, show_default="half of the processors")
    ] = None,
) -> None:
    """Grade what is pushed to a course, in worker processes of this machine, until stopped."""
    course = CourseFolder.open(folder)
    console = output()
    stopping: threading.Event

    def complain(said: str) -> None:
        console.print(styled(f"not done, to be tried again: {said}"))

    with stop_asked() as stopping, only_dispatcher(course), answering_hooks(course), alerting(course, complain):
        number = slots or max(1, (os.cpu_count() or 1) // 2)
        dispatcher = Dispatcher(course, Spool(course.spool), choose_builds(course), Settings(number))
        console.print(
            styled(f"course {course.course().name}, builds at a time: {number}. Ctrl-C ends it; builds go on.")
        )
        work(dispatcher, stopping, complain)
