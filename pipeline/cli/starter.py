"""`pipeline init`: a repository that a student can push at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import output, styled
from pipeline.errors import InfrastructureError, UsageError
from pipeline.files import write_bytes
from pipeline.text import one_line
from pipeline.validation import nearest

EXAMPLES = Path(__file__).parents[2] / "submissions_example"
EXAMPLE_OF_KIND = {
    "train": "mnist_train",
    "function": "function",
    "infer": "mnist_infer",
    "mapreduce": "word_count",
    "matrix": "matrix_multiply",
}
NOT_COPIED = {"expected.toml"}
IGNORED = "__pycache__/\n*.pyc\n.venv/\nruns/\ndata/\n"


def init(
    kind: Annotated[str, typer.Argument(help=f"kind of job: {', '.join(EXAMPLE_OF_KIND)}", metavar="KIND")] = "train",
    into: Annotated[
        Path, typer.Option(help="the folder to write into", metavar="DIR", show_default="the current one")
    ] = Path(),
) -> None:
    """Write a starter repository for a student; no file is ever overwritten."""
    if kind not in EXAMPLE_OF_KIND:
        hint = nearest(kind, EXAMPLE_OF_KIND).replace("the keys here", "the kinds")
        raise UsageError(f"there is no kind {one_line(kind, 60)!r}", hint=f"{hint}; a folder is named with --into")
    files = starter_files(EXAMPLES / EXAMPLE_OF_KIND[kind])
    there = sorted(name for name in files if (into / name).exists() or (into / name).is_symlink())
    if there:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} in {into.resolve()} already; nothing was written",
            hint="name an empty folder: `pipeline init --into FOLDER`",
        )
    try:
        for name, content in files.items():
            write_bytes(into / name, content)
    except OSError as error:
        raise UsageError(f"{into} cannot be written to: {error.strerror}", hint="name another folder") from None
    console = output()
    console.print(styled(f"wrote {', '.join(files)} into {into.resolve()}"))
    console.print(styled(f"next: pipeline check {into}"))


def starter_files(example: Path) -> dict[str, bytes]:
    """File name -> content. Raises InfrastructureError where the examples were not installed."""
    try:
        paths = sorted(path for path in example.iterdir() if path.is_file() and path.name not in NOT_COPIED)
        files = {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise InfrastructureError(
            f"the example {example.name} is not part of this installation: {error.strerror}",
            hint="use a checkout of the pipeline",
        ) from None
    return {**files, ".gitignore": IGNORED.encode()}
