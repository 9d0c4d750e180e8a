"""`pipeline run` and its parts: check, render, stage, resume, cancel."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.begin import arrival, begin, begin_or_go_on, parse_overrides
from pipeline.cli.display import showing
from pipeline.cli.output import output, show_failure, styled, write, write_json
from pipeline.cli.summary import show_summary
from pipeline.errors import Outcome, UsageError
from pipeline.listener import Silent
from pipeline.run import STAGE_NAMES, Record, Request, Run
from pipeline.settings import Sandbox

Source = Annotated[str, typer.Argument(help="a folder or a git URL", show_default=False)]
Ref = Annotated[str | None, typer.Option(help="branch, tag or commit of a git URL", metavar="REV")]
Student = Annotated[str, typer.Option(help="who submits", metavar="NAME")]
CourseFile = Annotated[
    Path | None, typer.Option(help="course.toml of the staff", metavar="FILE", show_default="practice")
]
AssignmentName = Annotated[str | None, typer.Option(help="which assignment of the course", metavar="NAME")]
SandboxName = Annotated[Sandbox, typer.Option(help="what student code runs in", metavar="auto|process|docker")]
Out = Annotated[Path | None, typer.Option(help="the run's folder", metavar="DIR", show_default="runs/ID")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="one setting of the submission, within what the assignment opens", metavar="KEY=VALUE"),
]
Memory = Annotated[
    int | None,
    typer.Option(
        help="practice only: the memory limit of each function", metavar="MB", show_default="the assignment's"
    ),
]
RunId = Annotated[
    str | None, typer.Option("--id", help="id of the run, the same each time that it is begun", metavar="ID")
]
Arrived = Annotated[
    str | None, typer.Option(help="when it was pushed, with time zone", metavar="TIME", show_default="now")
]
Attempt = Annotated[int, typer.Option(help="which attempt of the student it is", min=1, max=9999)]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON; live lines go to standard error")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="keep every note on the terminal")]
Folder = Annotated[Path, typer.Argument(help="the run's folder", metavar="DIR", show_default=False)]


def run(
    source: Source,
    ref: Ref = None,
    student: Student = "student",
    course: CourseFile = None,
    assignment: AssignmentName = None,
    sandbox: SandboxName = Sandbox.AUTO,
    out: Out = None,
    run_id: RunId = None,
    arrived: Arrived = None,
    attempt: Attempt = 1,
    settings: Settings = None,
    memory: Memory = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Take a submission through all nine stages to its report.

    With --id, which needs --out, it goes on with a run of this id that DIR holds already: a submission counts once.
    """
    request = request_of(source, ref, student, course, assignment, sandbox, settings)
    request = request.model_copy(update={"memory_mb": memory})
    the_run = begun(submitted(request, arrived, attempt), out, run_id)
    finish(the_run, "resume", as_json=as_json, verbose=verbose)


def check(
    source: Source,
    ref: Ref = None,
    course: CourseFile = None,
    assignment: AssignmentName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Name every fault of a submission; nothing is built and nothing of it is run."""
    request = request_of(source, ref, "student", course, assignment, Sandbox.AUTO, settings)
    with walked(request, ("fetch", "check")) as checked:
        record = checked.record
        if as_json:
            write_json(check_result(record))
        else:
            show_check(record)
        leave(record.outcome)


def render(
    source: Source,
    ref: Ref = None,
    course: CourseFile = None,
    assignment: AssignmentName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Print exactly what would be built and registered; nothing is built."""
    request = request_of(source, ref, "student", course, assignment, Sandbox.AUTO, settings)
    with walked(request, ("fetch", "check", "render")) as rendered:
        record = rendered.record
        if record.outcome is not None:
            show_check(record)
            leave(record.outcome)
        dockerfile, actions = rendered.dockerfile.read_text(), rendered.actions_file.read_text()
        if as_json:
            write_json({"dockerfile": dockerfile, "actions": json.loads(actions)})
        else:
            write(f"# Dockerfile\n{dockerfile.rstrip()}\n\n# actions\n{actions.rstrip()}\n")


def stage(
    name: Annotated[str, typer.Argument(help=", ".join(STAGE_NAMES), metavar="NAME", show_default=False)],
    out: Annotated[Path, typer.Option(help="the run's folder", metavar="DIR", show_default=False)],
    source: Annotated[str | None, typer.Argument(help="for the first stage: a folder or a git URL")] = None,
    ref: Ref = None,
    student: Student = "student",
    course: CourseFile = None,
    assignment: AssignmentName = None,
    sandbox: SandboxName = Sandbox.AUTO,
    settings: Settings = None,
    run_id: RunId = None,
    arrived: Arrived = None,
    attempt: Attempt = 1,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Take a run through one stage; the first one begins the run and needs SOURCE.

    With --id the first stage goes on with a run of this id that DIR holds already: what is done is not done again.
    """
    from pipeline import flow  # imports of the stages take seconds, which --help must not

    if source is not None:
        request = request_of(source, ref, student, course, assignment, sandbox, settings)
        the_run = begun(submitted(request, arrived, attempt), out, run_id)
    elif name == STAGE_NAMES[0] and not (out / "record.json").exists():
        raise UsageError("the first stage begins the run", hint=f"pipeline stage {name} SOURCE --out {out}")
    else:
        the_run = Run.open(out)
    with showing(output(errors=as_json), verbose=verbose) as listener:
        outcome = flow.stage(name, the_run, backends_of(the_run), listener)
    if as_json:
        record = the_run.record
        write_json({**record.stage(name).model_dump(mode="json"), "run": record.run, "outcome": outcome})
    elif outcome is not None:
        show_summary(output(), the_run)
    leave(outcome)


def resume(folder: Folder, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Go on with a run that was killed, stopped, or failed for a reason that was not the student's."""
    finish(Run.open(folder), "resume", as_json=as_json, verbose=verbose)


def cancel(folder: Folder, as_json: AsJson = False) -> None:
    """Stop a run: its processes end, the pool is free, its actions are deleted. Harmless a second time."""
    from pipeline import flow

    the_run = Run.open(folder)
    outcome = flow.cancel(the_run, backends_of(the_run), Silent())
    if as_json:
        write_json({"run": the_run.record.run, "outcome": outcome})
    elif outcome is Outcome.ABORTED:
        output().print(styled(f"cancelled; `pipeline resume {folder}` goes on with it"))
    else:
        output().print(styled(f"the run had ended: {outcome.value}"))


def request_of(
    source: str,
    ref: str | None,
    student: str,
    course: Path | None,
    assignment: str | None,
    sandbox: Sandbox,
    settings: list[str] | None,
) -> Request:
    return Request(
        source=source,
        ref=ref,
        student=student,
        course_file=course.resolve() if course else None,
        assignment=assignment,
        sandbox=sandbox,
        overrides=parse_overrides(settings or []),
    )


def submitted(request: Request, arrived: str | None, attempt: int) -> Request:
    asked = {"attempt": attempt} | ({"arrived": arrival(arrived)} if arrived else {})
    return request.model_copy(update=asked)


def begun(request: Request, out: Path | None, run_id: str | None) -> Run:
    if run_id is None:
        return begin(request, out)
    if out is None:
        raise UsageError("--id names a run that may be there already", hint="name its folder with --out")
    return begin_or_go_on(request, out, run_id)


def backends_of(the_run: Run) -> Any:
    from pipeline.backends.choose import choose

    return choose(the_run)


def finish(the_run: Run, how: str, *, as_json: bool, verbose: bool) -> None:
    """Walks to the end, shows it, and leaves with the outcome's exit code."""
    from pipeline import flow

    with showing(output(errors=as_json), verbose=verbose) as listener:
        outcome: Outcome = getattr(flow, how)(the_run, backends_of(the_run), listener)
    if as_json and the_run.result_file.exists():
        write(the_run.result_file.read_text())
    elif as_json:
        write_json(check_result(the_run.record))
    else:
        show_summary(output(), the_run)
    leave(outcome)


@contextmanager
def walked(request: Request, names: tuple[str, ...]) -> Iterator[Run]:
    """A run that went through these stages in a folder which is gone afterwards."""
    from pipeline import flow

    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        the_run = begin(request, Path(folder) / "run")
        backends = backends_of(the_run)
        for name in names:
            flow.stage(name, the_run, backends, Silent())
        yield the_run


def check_result(record: Record) -> dict[str, Any]:
    checked = record.checked
    return {
        "outcome": record.outcome or Outcome.PASSED,
        "reason": record.reason,
        "hint": record.hint,
        "faults": list(record.faults),
        "notes": list(checked.notes) if checked else [],
        "locked": list(checked.locked) if checked else [],
        "job": checked.job.model_dump(mode="json") if checked else None,
    }


def show_check(record: Record) -> None:
    if record.outcome is not None or record.checked is None:
        show_failure(output(errors=True), record.outcome or "error", record.reason, list(record.faults), record.hint)
        return
    console = output()
    for note in record.checked.notes:
        console.print(styled(f"note: {note}"))
    wheels = record.checked.locked
    console.print(styled(f"nothing is wrong; wheels beside the base: {', '.join(wheels) or 'none'}"))


def leave(outcome: Outcome | None) -> None:
    if outcome is not None and outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
