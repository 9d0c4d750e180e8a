"""What a run's own servers leave on the disk when they stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stages import new_run, submission

from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.errors import Outcome
from pipeline.run import Run, StageRecord, Status


def stopped(folder: Path, outcome: Outcome | None = None, collect: Status = Status.DONE) -> Run:
    """A run with a shard in its store, after its servers were stopped."""
    run = new_run(folder / "run", submission(folder / "source"))
    run.update_stage(StageRecord(name="collect", status=collect), outcome=outcome, collected=True)
    shard = run.servers_folder / "store" / "run" / "shard"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"rows")
    EmbeddedServers(run).stop()
    return run


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LIMIT, None])
def test_the_store_of_a_run_that_is_over_goes(tmp_path: Path, outcome: Outcome | None) -> None:
    run = stopped(tmp_path, outcome)
    assert not (run.servers_folder / "store").exists()
    assert run.servers_folder.is_dir()
    assert not EmbeddedServers(run).started()


@pytest.mark.parametrize(
    ("outcome", "collect"),
    [(Outcome.ABORTED, Status.DONE), (Outcome.INFRASTRUCTURE, Status.DONE), (None, Status.RUNNING)],
)
def test_what_a_resume_goes_on_from_is_kept(tmp_path: Path, outcome: Outcome | None, collect: Status) -> None:
    """A stage that was killed as it ended is done again."""
    assert (stopped(tmp_path, outcome, collect).servers_folder / "store" / "run" / "shard").exists()
