"""`pipeline init`: a repository that a student can push at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.output import output, styled
from pipeline.errors import InfrastructureError, UsageError
from pipeline.files import write_text

EXAMPLES = Path(__file__).parents[2] / "submissions_example"
EXAMPLE_OF_KIND = {"train": "mnist_train"}
COPIED = ("model.py", "requirements.txt", "submission.toml", "README.md")
IGNORED = "__pycache__/\n*.pyc\n.venv/\nruns/\ndata/\n"


def init(
    kind: Annotated[Literal["train"], typer.Argument(help="kind of job")] = "train",
    into: Annotated[
        Path, typer.Option(help="the folder to write into", metavar="DIR", show_default="the current one")
    ] = Path(),
) -> None:
    """Write a starter repository for a student; no file is ever overwritten."""
    files = starter_files(EXAMPLES / EXAMPLE_OF_KIND[kind])
    there = sorted(name for name in files if (into / name).exists() or (into / name).is_symlink())
    if there:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} in {into.resolve()} already; nothing was written",
            hint="name an empty folder: `pipeline init --into FOLDER`",
        )
    try:
        for name, text in files.items():
            write_text(into / name, text)
    except OSError as error:
        raise UsageError(f"{into} cannot be written to: {error.strerror}", hint="name another folder") from None
    console = output()
    console.print(styled(f"wrote {', '.join(files)} into {into.resolve()}"))
    console.print(styled(f"next: pipeline check {into}"))


def starter_files(example: Path) -> dict[str, str]:
    """File name -> text. Raises InfrastructureError where the examples were not installed."""
    try:
        files = {name: (example / name).read_text(encoding="utf-8") for name in COPIED}
    except OSError as error:
        raise InfrastructureError(
            f"the example {example.name} is not part of this installation: {error.strerror}",
            hint="use a checkout of the pipeline",
        ) from None
    return {**files, ".gitignore": IGNORED}
