"""The commands, their errors and their exit codes. Nothing outside `pipeline.cli` prints or exits."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    base,
    course,
    data,
    doctor,
    experiment,
    grades,
    jenkins,
    parameter_server,
    queue,
    runs,
    serve,
    starter,
    verdict,
)
from pipeline.cli.output import show_error, write
from pipeline.cli.streams import tolerate_any_text
from pipeline.errors import USAGE_EXIT_CODE, AbortedError, InfrastructureError, PipelineError, UsageError

app = typer.Typer(
    name="pipeline",
    help="Takes a student's machine-learning submission from a push to a graded report.",
    epilog="Exit codes: 0 passed, 10 the student's failure, 11 a limit, 2 usage or course settings, "
    "3 infrastructure, 130 aborted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(asked: bool) -> None:
    if asked:
        write(f"pipeline {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and end", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    pass


app.command("run", short_help="take a submission to its report")(runs.run)
app.command("experiment", short_help="run a grid of settings, and compare")(experiment.experiment)
app.command("init", short_help="write a starter repository")(starter.init)
app.command("check", short_help="name every fault of a submission")(runs.check)
app.command("render", short_help="print what would be built")(runs.render)
app.command("stage", short_help="take a run through one stage")(runs.stage)
app.command("resume", short_help="go on with a run")(runs.resume)
app.command("cancel", short_help="stop a run")(runs.cancel)
app.command("verdict", short_help="how a run ended, for a build server")(verdict.verdict)
app.command("doctor", short_help="what is here, what is missing")(doctor.doctor)
app.command("serve", short_help="the embedded servers, until stopped")(serve.serve)
app.command("parameter-server", short_help="a parameter server by hand")(parameter_server.parameter_server)
app.add_typer(course.app, name="course", short_help="the folder of a course, and who may push to it")
app.add_typer(queue.app, name="queue", short_help="what was pushed and is not graded yet")
app.command("grades", short_help="what counts of each student")(grades.grades)
app.add_typer(grades.app, name="regrade", short_help="grade again, and let it count")
app.command("dispatch", short_help="grade what is pushed to a course")(queue.dispatch)
app.add_typer(jenkins.app, name="jenkins", short_help="the jobs of a course in Jenkins")
app.add_typer(base.app, name="base", short_help="the images that images build on")
app.add_typer(data.app, name="data", short_help="data sets, shards, the store")


def call(arguments: Sequence[str]) -> int:
    """Carries out one command line; its exit code. Raises nothing."""
    tolerate_any_text()
    try:
        return int(app(list(arguments), prog_name="pipeline", standalone_mode=False) or 0)
    except typer.TyperException as error:
        show_error(usage_error(error))
        return USAGE_EXIT_CODE
    except PipelineError as error:
        show_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        stopped = AbortedError("stopped")
        show_error(stopped)
        return stopped.exit_code
    except Exception as error:
        return own_fault(error)


def usage_error(error: typer.TyperException) -> UsageError:
    """typer's words for a wrong command line, in the form of all other errors."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pipeline"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"`{command} --help` shows what it takes")


def own_fault(error: Exception) -> int:
    """An error that nobody foresaw: one line on the terminal, the traceback in a file."""
    kept = keep_traceback(error)
    where = f"the traceback is in {kept}" if kept else "no file for the traceback could be written"
    fault = InfrastructureError(
        f"a fault of the pipeline itself: {type(error).__name__}: {error}", hint=f"{where}; please report it"
    )
    show_error(fault)
    return fault.exit_code


def keep_traceback(error: Exception) -> Path | None:
    text = "".join(traceback.format_exception(error))
    try:
        descriptor, path = tempfile.mkstemp(prefix=f"pipeline-fault-{time.strftime('%Y%m%d-%H%M%S')}-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(path)
