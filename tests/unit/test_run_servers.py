"""What a run's own servers leave on the disk when they stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stages import new_run, submission

from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.errors import Outcome
from pipeline.run import Run


def stopped(folder: Path, **changes: object) -> Run:
    """A run with a shard in its store, after its servers were stopped."""
    run = new_run(folder / "run", submission(folder / "source"))
    run.update(**changes)
    shard = run.servers_folder / "store" / "run" / "shard"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"rows")
    EmbeddedServers(run).stop()
    return run


@pytest.mark.parametrize(
    "changes", [{"outcome": Outcome.FAILED}, {"outcome": Outcome.LIMIT}, {"collected": True}], ids=str
)
def test_the_store_of_a_run_that_is_over_goes(tmp_path: Path, changes: dict[str, object]) -> None:
    run = stopped(tmp_path, **changes)
    assert not (run.servers_folder / "store").exists()
    assert run.servers_folder.is_dir()
    assert not EmbeddedServers(run).started()


@pytest.mark.parametrize("changes", [{"outcome": Outcome.ABORTED}, {"outcome": Outcome.INFRASTRUCTURE}, {}], ids=str)
def test_what_a_resume_goes_on_from_is_kept(tmp_path: Path, changes: dict[str, object]) -> None:
    assert (stopped(tmp_path, **changes).servers_folder / "store" / "run" / "shard").exists()
