"""`pipeline grades` and `pipeline regrade`: what counts, and grading again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backends.choose import choose_builds
from pipeline.cli.output import counted, output, styled, write
from pipeline.errors import UsageError
from pipeline.submissions.entry import State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.grades import GradeRow, UngradedRow, as_csv, with_everyone
from pipeline.submissions.grades import grades as what_counts
from pipeline.submissions.members import read_members
from pipeline.submissions.regrades import apply as let_count
from pipeline.submissions.regrades import differences, regrade
from pipeline.submissions.regrades import discard as let_go
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import stop_build

app = typer.Typer(no_args_is_help=True, help="Grade again what was graded; nothing counts before it is applied.")
Folder = Annotated[Path, typer.Argument(help="the course's folder", metavar="DIR", show_default=False)]


def grades(
    folder: Folder,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV for a spreadsheet")] = False,
    everyone: Annotated[bool, typer.Option("--everyone", help="also who has nothing graded yet")] = False,
) -> None:
    """Print what counts for each student and assignment: the best or the last submission, as the assignment says."""
    course = CourseFolder.open(folder)
    settings = course.course()
    spool = Spool(course.spool)
    graded = what_counts(spool.over(), settings)
    rows = with_everyone(graded, read_members(course) if everyone else (), settings)
    if csv:
        write(as_csv(rows))
    else:
        show_grades(rows)
    spool.must_be_whole()


def show_grades(rows: Sequence[GradeRow | UngradedRow]) -> None:
    for row in rows:
        output().print(styled(f"{row.student:<24} {row.assignment:<24} {in_words(row)}"))
    if not rows:
        output().print(styled("nothing was graded yet"))


def in_words(row: GradeRow | UngradedRow) -> str:
    if isinstance(row, UngradedRow):
        return f"{'-':<12} nothing graded"
    points = "-" if row.graded.points is None else f"{row.graded.points:g} of {row.graded.most_points or 0:g}"
    late = f", {counted(row.late_days, 'day')} late" if row.late_days else ""
    return f"{points:<12} {counted(row.attempts, 'attempt')}{late}"


@app.command("start", short_help="grade an assignment again")
def start(
    folder: Folder,
    assignment: Annotated[str, typer.Argument(help="the assignment", metavar="ASSIGNMENT", show_default=False)],
    students: Annotated[
        list[str] | None, typer.Option("--student", help="only of this student; may be given again", metavar="NAME")
    ] = None,
) -> None:
    """Put what was graded into the queue again, after all pushes. Attempts and arrivals stay as they were."""
    course = CourseFolder.open(folder)
    names = [one.name for one in course.course().assignments]
    if assignment not in names:
        raise UsageError(f"the course has no assignment {assignment!r}", hint=f"it has {', '.join(names)}")
    added = regrade(Spool(course.spool), assignment, students or ())
    number = counted(len(added), "submission")
    output().print(styled(f"to be graded again: {number}; then `pipeline regrade show {folder}`"))


@app.command("show", short_help="what a regrade would change")
def show(folder: Folder) -> None:
    """Print each submission whose grade a regrade would change; nothing is changed by this."""
    course = CourseFolder.open(folder)
    spool = Spool(course.spool)
    found = differences(course, spool)
    running = sum(one.regrade_of != "" for one in spool.active())
    for one in found:
        if one.is_one:
            noted = f" ({', '.join(one.notes)})" if one.notes else ""
            before, after = (said(entry.points, entry.outcome) for entry in (one.before, one.after))
            output().print(styled(f"{one.after.student:<24} {one.after.regrade_of[:10]}  {before} -> {after}{noted}"))
    changed = sum(one.is_one for one in found)
    output().print(styled(f"{changed} of {len(found)} regrades would change a grade; {running} are not done yet"))
    spool.must_be_whole()


def said(points: float | None, outcome: object) -> str:
    return str(outcome) if points is None else f"{outcome} {points:g}"


@app.command("apply", short_help="let a regrade count")
def apply(folder: Folder) -> None:
    """Let every regrade that has ended count from now on."""
    spool = Spool(CourseFolder.open(folder).spool)
    done = let_count(spool)
    running = sum(one.regrade_of != "" for one in spool.active())
    rest = f"; {running} not done yet, apply again when they are" if running else ""
    output().print(styled(f"applied: {counted(len(done), 'regrade')}{rest}"))


@app.command("discard", short_help="forget a regrade")
def discard(folder: Folder) -> None:
    """Forget every regrade that was not applied; the grades stay as they are. Builds of those that run are stopped."""
    course = CourseFolder.open(folder)
    done = let_go(Spool(course.spool))
    for one in done:
        if one.state is State.STARTED:
            stop_build(choose_builds(course), one)
    output().print(styled(f"discarded: {counted(len(done), 'regrade')}"))
