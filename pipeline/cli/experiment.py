"""`pipeline experiment`: a grid of settings, each run several times."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.display import showing
from pipeline.cli.output import counted, output, styled, write
from pipeline.cli.runs import AsJson, AssignmentName, Ref, SandboxName, Source, Verbose
from pipeline.errors import Outcome, UsageError
from pipeline.experiments.grid import axes_of, words_of
from pipeline.experiments.record import Experiment, MeasuredRun
from pipeline.listener import Listener, Silent
from pipeline.reporting.summary import near
from pipeline.reporting.words import seconds
from pipeline.run import Request, new_run_id
from pipeline.settings import Sandbox
from pipeline.text import one_line

Workers = Annotated[
    str, typer.Option(help="values of the job's key workers", metavar="N,N,...", show_default="as it is")
]
MemoryLimits = Annotated[
    str, typer.Option(help="memory limits of each function", metavar="MB,MB,...", show_default="the assignment's")
]
Grid = Annotated[
    list[str] | None,
    typer.Option("--set", help="values of one setting of the submission", metavar="KEY=VALUE,VALUE,..."),
]
Repeat = Annotated[int, typer.Option(help="runs of each setting, at least", min=1, max=100)]
Order = Annotated[
    int | None,
    typer.Option(
        help="seed of the order of the runs", metavar="SEED", min=0, max=2**32 - 1, show_default="a random one"
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="the experiment's folder", metavar="DIR", show_default="runs/experiment-ID")
]


def experiment(
    source: Source,
    workers: Workers = "",
    memory: MemoryLimits = "",
    settings: Grid = None,
    repeat: Repeat = 3,
    out: Out = None,
    ref: Ref = None,
    assignment: AssignmentName = None,
    sandbox: SandboxName = Sandbox.AUTO,
    order: Order = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Run a grid of settings, each several times, and say what they change: time, speed-up, memory, cost.

    Each run is an ordinary practice run below DIR/runs. It writes DIR/experiment.html with plots for a lab report,
    experiment.csv and experiment.json. Called again with the same --out it goes on with what is missing; more values
    or repeats may be asked for then.
    """
    from pipeline.experiments.plan import planned  # imports of the stages take seconds, which --help must not
    from pipeline.experiments.running import holding, run_left

    axes = axes_of(workers, memory, settings or [])
    folder = out or Path("runs") / f"experiment-{new_run_id()}"
    make(folder)
    request = Request(source=source, ref=ref, assignment=assignment, sandbox=sandbox)
    seed = secrets.randbelow(2**32) if order is None else order
    console = output(errors=as_json)
    with holding(folder):
        whole = planned(folder, request, axes, repeat, seed)
        begin(console, whole, folder)
        whole = run_left(folder, whole, request, Lines(console, verbose=verbose))
    if as_json:
        write(whole.model_dump_json(indent=2) + "\n")
    else:
        end(console, whole, folder)
    leave_unmeasured(whole.runs)


def make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", hint="name another --out") from None


class Lines:
    """One line when a run begins and one when it has ended; with `verbose` its stages between them."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self.console = console
        self.verbose = verbose
        self.shown: AbstractContextManager[Listener] | None = None

    def run_begins(self, run: MeasuredRun, of: int, left_s: float | None) -> Listener:
        left = "" if left_s is None else f", about {seconds(left_s)} left"
        self.console.print(styled(f"{run.number:>3}/{of}  {words_of(run.setting)} (repeat {run.repeat}){left}"))
        if not self.verbose:
            return Silent()
        self.shown = showing(self.console, verbose=True)
        return self.shown.__enter__()

    def run_ended(self, run: MeasuredRun, of: int) -> None:
        if self.shown is not None:
            self.shown.__exit__(None, None, None)
            self.shown = None
        if run.status == "failed":
            said = f"failed: {run.failed_for}: {one_line(run.reason, 160)}"
        else:
            points = "" if run.points is None else f", {run.points:g} of {run.max_points or 0:g} points"
            said = f"{seconds(run.figures.seconds)}, {run.outcome}{points}"
        again = " (the second try)" if run.first_try else ""
        self.console.print(styled(f"{'':>{len(str(of)) + 4}}  {said}{again}"))


def begin(console: Console, whole: Experiment, folder: Path) -> None:
    done = len(whole.runs) - len(whole.left)
    settings = {tuple(one.setting.items()) for one in whole.runs}
    goes_on = f", {done} of them made already" if done else ""
    size = f"{counted(len(settings), 'setting')}, {counted(len(whole.runs), 'run')}"
    console.print(styled(f"{size}{goes_on} - {near(folder.resolve())}"))


def end(console: Console, whole: Experiment, folder: Path) -> None:
    console.print()
    for one in whole.answers:
        console.print(styled(one.question, "bold"))
        console.print(styled(f"  {one.answer}"))
    console.print()
    console.print(styled(f"{near(folder.resolve() / 'experiment.html')}"))


def leave_unmeasured(runs: Sequence[MeasuredRun]) -> None:
    """Runs that failed are results; where there are no others, the last one's outcome is the exit code."""
    if any(one.status == "measured" for one in runs):
        return
    last = next((one.outcome for one in reversed(runs) if one.outcome is not None), Outcome.INFRASTRUCTURE)
    raise typer.Exit(last.exit_code)
