"""`pipeline experiment` over a small grid: stopped in the middle, gone on with, and what it leaves."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from support.runs import EXAMPLES, pipeline, start
from support.whole_runs import left_of, wait_for


def test_an_experiment_that_was_stopped_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    grid = ("--memory", "128,256", "--repeat", "1", "--sandbox", "process", "--out", folder)

    def runs() -> list[dict[str, Any]]:
        path = folder / "experiment.json"
        read: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
        return read

    process = start("experiment", EXAMPLES / "function", *grid)
    wait_for(lambda: any(one["status"] == "measured" for one in runs()), "the first run")
    wait_for(lambda: (folder / "runs" / runs()[1]["folder"] / "record.json").exists(), "the second run's beginning")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    stopped = runs()

    assert process.returncode == 130, output
    assert "goes on with what is left" in output
    assert [one["status"] for one in stopped] == ["measured", "planned"]
    assert left_of(folder) == []

    done = pipeline("experiment", EXAMPLES / "function", *grid, out=folder)

    assert done.code == 0, done.output
    assert "1 of them made already" in done.output
    assert runs()[0] == stopped[0]
    assert [one["outcome"] for one in runs()] == ["passed", "passed"]
    assert {one["figures"]["memory_limit_mb"] for one in runs()} == {128, 256}
    assert all(one["figures"]["gb_seconds"] > 0 for one in runs())
    assert (folder / "experiment.html").stat().st_size > 0
    assert len((folder / "experiment.csv").read_text().splitlines()) == 3
