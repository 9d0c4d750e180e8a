"""The commands, their errors and their exit codes. Nothing outside `pipeline.cli` prints or exits.

What a command needs is imported for it alone: everything together takes half a second more.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli.output import show_error, write
from pipeline.cli.streams import tolerate_any_text
from pipeline.errors import USAGE_EXIT_CODE, AbortedError, InfrastructureError, PipelineError, UsageError
from pipeline.files import is_of_the_machine, machine_fault
from pipeline.signals import never_swallowed

COMMANDS = {
    "run": ("runs", "take a submission to its report"),
    "experiment": ("experiment", "run a grid of settings, and compare"),
    "init": ("starter", "write a starter repository"),
    "check": ("runs", "name every fault of a submission"),
    "render": ("runs", "print what would be built"),
    "stage": ("runs", "take a run through one stage"),
    "resume": ("runs", "go on with a run"),
    "cancel": ("runs", "stop a run"),
    "verdict": ("verdict", "how a run ended, for a build server"),
    "doctor": ("doctor", "what is here, what is missing"),
    "serve": ("serve", "the embedded servers, until stopped"),
    "parameter-server": ("parameter_server", "a parameter server by hand"),
    "course": ("course", "the folder of a course, and who may push to it"),
    "queue": ("queue", "what was pushed and is not graded yet"),
    "grades": ("grades", "what counts of each student"),
    "regrade": ("grades", "grade again, and let it count"),
    "dispatch": ("queue", "grade what is pushed to a course"),
    "jenkins": ("jenkins", "the jobs of a course in Jenkins"),
    "base": ("base", "the images that images build on"),
    "data": ("data", "data sets, shards, the store"),
}
"""Each with its module and what is said of it; the module's function has the command's name."""
GROUPS = frozenset({"course", "queue", "regrade", "jenkins", "base", "data"})
"""These have commands of their own: the module's `app`."""


def show_version(asked: bool) -> None:
    if asked:
        write(f"pipeline {__version__}\n")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and end", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    pass


def command_line(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="pipeline",
        help="Takes a student's machine-learning submission from a push to a graded report.",
        epilog="Exit codes: 0 passed, 10 the student's failure, 11 a limit, 2 usage or course settings, "
        "3 infrastructure, 130 aborted.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    for name in names:
        module, said = COMMANDS[name]
        imported = importlib.import_module(f"pipeline.cli.{module}")
        if name in GROUPS:
            app.add_typer(imported.app, name=name, short_help=said)
        else:
            app.command(name, short_help=said)(getattr(imported, name.replace("-", "_")))
    return app


def needed_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the command that these name first, or else with all."""
    known = [name for name in arguments[:1] if name in COMMANDS]
    return command_line(known or COMMANDS)


def call(arguments: Sequence[str], app: typer.Typer | None = None) -> int:
    """Carries out one command line; its exit code. Raises nothing."""
    tolerate_any_text()
    try:
        app = app or needed_for(arguments)
        if names_no_command(arguments):
            app([*arguments, "--help"], prog_name="pipeline", standalone_mode=False)
            return USAGE_EXIT_CODE
        with never_swallowed():
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
    except OSError as error:
        return shown_fault(error)
    except Exception as error:
        return own_fault(error)


def shown_fault(error: OSError) -> int:
    """What a person can mend is said in words; what else the system refuses is a fault that nobody foresaw."""
    if not is_of_the_machine(error):
        return own_fault(error)
    fault = machine_fault(error)
    show_error(fault)
    return fault.exit_code


def names_no_command(arguments: Sequence[str]) -> bool:
    """Whether a command is still to be named; whoever types so much wants to see which there are."""
    return not arguments or (len(arguments) == 1 and arguments[0] in GROUPS)


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
