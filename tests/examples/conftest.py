"""The main job as it is when nothing happens to it, trained once for all that look at it or compare with it."""

from __future__ import annotations

import pytest
from support.runs import COURSE, EXAMPLES, TWICE, Finished, submit

VALIDATED = ("validation_rows = 0", "validation_rows = 500")


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """On the tests' course, with rows to validate on and one checkpoint that is scored on them on the way."""
    folder = tmp_path_factory.mktemp("honest")
    course = folder / "course.toml"
    assert VALIDATED[0] in COURSE.read_text()
    course.write_text(COURSE.read_text().replace(*VALIDATED))
    scored = ("--set", "scored_checkpoints=1")
    return submit(EXAMPLES / "mnist_train", folder / "run", *TWICE, *scored, course=course)
