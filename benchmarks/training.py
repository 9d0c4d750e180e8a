"""Training LeNet-5 on MNIST: this project, DDP over gloo, one process, the course's older protocol; the protocol alone.

make bench
.venv/bin/python -m benchmarks.training [--data FOLDER] [--epochs 2] [--accumulate 1] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import protocol
from benchmarks.contenders import Outcome, older, ours, plain
from benchmarks.processes import MODEL
from benchmarks.setting import Scorer, Setting
from pipeline.data import mnist, shards

GOAL = 0.97
COLUMNS = (
    "contender", "samples/s", "updates/s", "s to 0.97", "accuracy", "KB an update", "communication %", "CPU s",
    "MB a rank", "MB server", "cold start s",
)  # fmt: skip


def main() -> None:
    asked = arguments()
    os.environ["RUNNER_CODE"] = str(MODEL)
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        prepare(folder, asked)
        scorer = Scorer(folder / "test.safetensors")
        rows = [score(one, scorer) for one in run_all(folder, asked, console)]
    rounds = {} if asked.no_protocol else protocol.compare(console)
    console.print(table(rows))
    if rounds:
        console.print(protocol.table(rounds))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) for name, value in vars(asked).items()}
    found = {"settings": settings, "cores": os.cpu_count(), "load": os.getloadavg(), "rows": rows, "protocol": rounds}
    asked.out.write_text(json.dumps(found, indent=2) + "\n")
    console.print(f"written to {asked.out}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with MNIST's IDX files; none: fetched")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--accumulate", type=int, default=1, help="batches for one gradient, of every contender")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=25, help="updates between two scored parameters")
    parser.add_argument("--only", nargs="*", default=[], help="contenders by the start of their name")
    parser.add_argument("--no-protocol", action="store_true", help="leave out the protocol alone")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/training.json"))
    return parser.parse_args()


def prepare(folder: Path, asked: argparse.Namespace) -> None:
    """The same rows for all: one shard, and two of half of them each."""
    files = mnist.fetch(asked.data)
    images, labels = mnist.read_images(files.train_images), mnist.read_labels(files.train_labels)
    for ranks in (1, 2):
        for number, rows in enumerate(shards.split_rows(asked.rows, ranks)):
            content = shards.shard_bytes(images[rows.start : rows.stop], labels[rows.start : rows.stop])
            (folder / f"shard-{number}-of-{ranks}.safetensors").write_bytes(content)
    test = shards.shard_bytes(mnist.read_images(files.test_images), mnist.read_labels(files.test_labels))
    (folder / "test.safetensors").write_bytes(test)


def run_all(folder: Path, asked: argparse.Namespace, console: Console) -> list[Outcome]:
    contenders: dict[str, Any] = {
        "this, sync, 2 workers": (2, lambda setting, name: ours(setting, name, "sync")),
        "this, async, 2 workers": (2, lambda setting, name: ours(setting, name, "async")),
        "DDP over gloo, 2 processes": (2, plain),
        "one process": (1, plain),
        "older protocol, 2 workers": (2, older),
    }
    outcomes = []
    for name, (ranks, run) in contenders.items():
        if asked.only and not any(name.startswith(one) for one in asked.only):
            continue
        with tempfile.TemporaryDirectory(prefix="contender-") as place, console.status(name):
            setting = Setting(
                place, ranks, asked.batch, asked.epochs, asked.accumulate, asked.seed, asked.learning_rate,
                asked.momentum, asked.every,
            )  # fmt: skip
            for file in folder.glob("shard-*"):
                (Path(place) / file.name).symlink_to(file)
            outcomes.append(run(setting, name))
            console.print(f"{name}: {outcomes[-1].samples / outcomes[-1].seconds:.0f} samples/s")
    return outcomes


def score(outcome: Outcome, scorer: Scorer) -> dict[str, Any]:
    """A row of the table; accuracy is taken here, when every clock has stopped."""
    reached, accuracy = scorer.first_at(GOAL, outcome.values, outcome.times)
    row = {field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome)}
    del row["times"], row["values"]
    rates = {"samples_per_s": outcome.samples / outcome.seconds, "updates_per_s": outcome.updates / outcome.seconds}
    return row | rates | {"seconds_to_goal": reached, "accuracy": accuracy}


def table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(*COLUMNS, title="Training LeNet-5 on MNIST; the clock from all ranks ready")
    for row in rows:
        reached = row["seconds_to_goal"]
        shown.add_row(
            row["name"],
            f"{row['samples_per_s']:.0f}",
            f"{row['updates_per_s']:.1f}",
            "never" if reached is None else f"{reached:.1f}",
            f"{row['accuracy']:.4f}",
            f"{row['bytes_an_update'] / 1000:.0f}",
            f"{100 * row['communication_share']:.0f}",
            f"{row['cpu_s']:.1f}",
            f"{row['peak_mb']:.0f}",
            f"{row['server_peak_mb']:.0f}",
            f"{row['cold_start_s']:.1f}",
        )
    return shown


if __name__ == "__main__":
    main()
