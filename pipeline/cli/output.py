"""Where the command line writes: a terminal, a pipe, a log. A reader that has gone stops nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.streams import discard
from pipeline.errors import PipelineError
from pipeline.text import printable


class Output(Console):
    """A console that takes texts as they are, and goes silent when its reader has gone.

    A run that is written about must not end because `head` has seen enough.
    """

    def on_broken_pipe(self) -> None:
        discard(self.file)


def output(*, errors: bool = False) -> Output:
    """The console of standard output or standard error; without escape codes unless it is a terminal."""
    stream = sys.stderr if errors else sys.stdout
    return Output(
        file=stream, force_terminal=stream.isatty(), highlight=False, markup=False, emoji=False, soft_wrap=True
    )


def write(text: str) -> None:
    """Writes text for another program: nothing wrapped, nothing coloured."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)


def write_json(value: Any) -> None:
    write(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def styled(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def counted(number: int, thing: str) -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def show_error(error: PipelineError) -> None:
    """Says on standard error what happened, every fault, and what to do."""
    faults = [str(fault) for fault in error.faults]
    show_failure(output(errors=True), "error", error.message, faults, error.hint)


def show_failure(console: Console, word: str, message: str, faults: list[str], hint: str) -> None:
    """`word: message`, then its faults and the hint."""
    console.print(Text.assemble((f"{word}:", "bold red"), " ", styled(message)))
    show_steps(console, message, faults, hint)


def show_steps(console: Console, message: str, faults: list[str], hint: str) -> None:
    """Each fault on a line, unless it is the only one and the message has said it, then the hint."""
    for fault in faults if len(faults) > 1 or not message.endswith(tuple(faults)) else ():
        console.print(styled(f"  {fault}"))
    if hint:
        console.print(Text.assemble(("  hint:", "bold"), " ", styled(hint)))
