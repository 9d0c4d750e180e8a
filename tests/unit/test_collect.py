"""What really ran is compared with what was built."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.reports import make_run, record

from pipeline.embedded.contract import Usage
from pipeline.errors import InfrastructureError
from pipeline.stages.collect import refuse_another_image


def test_an_activation_of_another_image_ends_the_run_without_a_grade(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record())
    assert run.record.image is not None
    built, silent = (
        Usage(activation="a", container="c", image=run.record.image.digest),
        Usage(activation="b", container="c"),
    )
    refuse_another_image(run, [built, silent])
    with pytest.raises(InfrastructureError, match="activation x ran image sha256:0"):
        refuse_another_image(run, [built, Usage(activation="x", container="c", image="sha256:0")])
