"""What a person sees while a run walks: live lines and bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.cli.output import styled
from pipeline.listener import Listener
from pipeline.run import StageRecord, Status
from pipeline.text import one_line

MARKS = {
    Status.DONE: ("✓", "+", "green"),
    Status.FAILED: ("✗", "x", "bold red"),
    Status.SKIPPED: ("–", "-", "dim"),
}
PLAIN_INTERVAL_S = 10.0


@dataclass(frozen=True)
class Progress:
    """The last that was heard of one worker."""

    done: int
    total: int
    loss: float | None
    samples_per_s: float | None
    state: str

    def words(self) -> str:
        steps = f"{self.done}/{self.total}" if self.total else f"{self.done} steps"
        loss = "" if self.loss is None else f"  loss {self.loss:.3f}"
        rate = "" if self.samples_per_s is None else f"  {self.samples_per_s:,.0f} samples/s"
        return f"{steps}{loss}{rate}  {one_line(self.state, 80)}"


class PlainDisplay:
    """One line for each thing that happens; a worker says something at most every ten seconds, or when it changes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said: dict[str, tuple[float, str]] = {}

    def stage_started(self, name: str) -> None:
        self.said.clear()
        self.console.print(f"{name:<9} running")

    def stage_ended(self, stage: StageRecord) -> None:
        line = f"{stage.name:<9} {stage.status.value:<7} {stage.seconds:8.1f} s  {one_line(stage.reason)}"
        self.console.print(Text(line.rstrip()))

    def note(self, stage: str, text: str) -> None:
        self.console.print(styled(f"{stage:<9}   {one_line(text)}"))

    def progress(
        self, worker: str, done: int, total: int, loss: float | None, samples_per_s: float | None, state: str
    ) -> None:
        now = time.monotonic()
        when, before = self.said.get(worker, (0.0, ""))
        if state == before and now - when < PLAIN_INTERVAL_S:
            return
        self.said[worker] = (now, state)
        words = Progress(done, total, loss, samples_per_s, state).words()
        self.console.print(styled(f"{'':<9}   {one_line(worker, 40)}  {words}"))


class LiveDisplay:
    """A line for each stage that ended; below it the one that runs, with its last notes and its workers' bars."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self.console = console
        self.verbose = verbose
        self.spinner: Spinner | None = None
        self.started = 0.0
        self.name = ""
        # replaced, never changed: another thread draws them
        self.notes: tuple[str, ...] = ()
        self.workers: dict[str, Progress] = {}
        self.unicode = console.encoding.lower().startswith("utf")

    def stage_started(self, name: str) -> None:
        self.notes, self.workers = (), {}
        self.name, self.started = name, time.monotonic()
        self.spinner = Spinner("dots" if self.unicode else "line")

    def stage_ended(self, stage: StageRecord) -> None:
        self.spinner = None
        fancy, simple, style = MARKS.get(stage.status, ("?", "?", ""))
        mark = fancy if self.unicode else simple
        seconds = f"{stage.seconds:8.1f} s  " if stage.status is not Status.SKIPPED else f"{'':<12}"
        reason_style = style if stage.status is Status.FAILED else "dim"
        self.console.print(
            Text.assemble((f"{mark} ", style), f"{stage.name:<9}{seconds}", (one_line(stage.reason), reason_style))
        )

    def note(self, stage: str, text: str) -> None:
        if self.verbose:
            self.console.print(styled(f"  {stage:<9}  {one_line(text)}", "dim"))
        else:
            self.notes = (*self.notes[-2:], one_line(text))

    def progress(
        self, worker: str, done: int, total: int, loss: float | None, samples_per_s: float | None, state: str
    ) -> None:
        self.workers = {**self.workers, worker: Progress(done, total, loss, samples_per_s, state)}

    def render(self) -> RenderableType:
        spinner = self.spinner
        if spinner is None:
            return Text("")
        spinner.update(text=Text(f"{self.name:<9}{time.monotonic() - self.started:7.0f} s"))
        notes = [Text(f"    {note}", style="dim", no_wrap=True, overflow="ellipsis") for note in self.notes]
        return Group(spinner, *notes, *([self.bars()] if self.workers else []))

    def bars(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for worker, progress in sorted(self.workers.items()):
            bar = ProgressBar(total=progress.total or None, completed=progress.done, width=24, pulse=not progress.total)
            table.add_row(Text(f"    {one_line(worker, 40)}"), bar, Text(progress.words()))
        return table


@contextmanager
def showing(console: Console, *, verbose: bool = False) -> Iterator[Listener]:
    """A listener that shows a run on `console` for as long as the block lasts."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainDisplay(console)
        return
    display = LiveDisplay(console, verbose=verbose)
    with Live(get_renderable=display.render, console=console, refresh_per_second=8, transient=True):
        yield display
