"""docs/command-line.md, made from the commands themselves: `python -m pipeline.cli.reference` prints it.

With the argument `result-schema` it prints docs/result.schema.json, made from the classes of `result.json`; with
`experiment-schema` docs/experiment.schema.json.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import typer

from pipeline.cli.app import command_line
from pipeline.cli.output import write
from pipeline.experiments.record import schema_text as experiment_schema_text
from pipeline.result import schema_text

HEAD = """\
# Command line

Made by `make docs` from the commands themselves; a test compares them. Every command answers `--help`. Completion for
the shell in use: `pipeline --install-completion`.

Exit codes: 0 passed, 10 the student's failure, 11 a limit of the assignment, 2 usage or course settings,
3 infrastructure, 130 aborted. Any other code, and any code without a matching `record.json`, is infrastructure.

Errors go to standard error as `error: what happened`, one line for each fault, and `hint: what to do`. Where the output
is no terminal it has no escape codes; `NO_COLOR` is respected on one. With `--json` standard output holds the JSON
alone, and live lines go to standard error.
"""


def text() -> str:
    return "\n".join([HEAD, *sections("pipeline", typer.main.get_command(command_line()))])


def sections(path: str, command: Any) -> list[str]:
    """One section for a command, or those of each command of a group."""
    if hasattr(command, "commands"):
        return [part for name, each in command.commands.items() for part in sections(f"{path} {name}", each)]
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    usage = " ".join([path, *(argument(one) for one in shown if one.param_type_name == "argument"), "[OPTIONS]"])
    rows = [row(one) for one in shown]
    table = ["| | |", "|---|---|", *rows, ""] if rows else []
    return [f"## {path}", "", "```", usage, "```", "", inspect.cleandoc(command.help or ""), "", *table]


def argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def row(parameter: Any) -> str:
    """A parameter's names, what it means, and its default where that says something."""
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    value = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        names, value = f"`{argument(parameter)}`", ""
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    ending = "" if default in (None, False, "", ()) or parameter.required else f" (default: {plain(default)})"
    return f"| {names}{' ' + value if value else ''} | {parameter.help or ''}{ending} |"


def plain(value: object) -> str:
    return str(getattr(value, "value", value))


if __name__ == "__main__":
    made = {"result-schema": schema_text, "experiment-schema": experiment_schema_text}
    write(made.get(sys.argv[1] if len(sys.argv) > 1 else "", text)())
