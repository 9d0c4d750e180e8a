"""Four workers on a pool for three: the fourth is named, nobody waits for it, and the run passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.runs import COURSE, EXAMPLES, submit


@pytest.mark.skipif(torch.version.cuda is not None, reason="an action of 256 MB needs torch's CPU build")
def test_four_workers_on_a_pool_for_three(sandbox: str, tmp_path: Path) -> None:
    course = tmp_path / "course.toml"
    settings = COURSE.read_text().replace("_mb = 512", "_mb = 256").replace("at_most = 512", "at_most = 256")
    course.write_text(settings + "\n[servers]\npool_mb = 1024\nprewarmed = 1\nprewarmed_mb = 256\n")

    options = ("--set", "workers=4", "--set", "epochs=3", "--sandbox", sandbox)  # four share the steps among them
    done = submit(EXAMPLES / "mnist_train", tmp_path / "run", *options, course=course)

    assert done.code == 0, done.output
    assert "worker-3 queued: " in done.output
    assert [worker["steps"] > 0 for worker in done.result["workers"]] == [True] * 4
