"""`pipeline base build`: what is said where it cannot be, before any engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.app import call

COURSE = """
name = "ml"
[[bases]]
name = "text"
packages = ["torch", "numpy", "six"]
[[assignments]]
name = "one"
passed_from = 5
[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.9
points = 10
"""


@pytest.fixture
def course(tmp_path: Path) -> str:
    (tmp_path / "course.toml").write_text(COURSE)
    return str(tmp_path / "course.toml")


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert call(["base", "build", *arguments]) == 2
    return capsys.readouterr().err


def test_a_base_that_no_image_could_build_on(capsys: pytest.CaptureFixture[str], course: str) -> None:
    assert "--course" in complaint(capsys, "text")
    assert "there are default, text" in complaint(capsys, "other", "--course", course)


def test_the_course_says_what_its_base_is_made_of(capsys: pytest.CaptureFixture[str], course: str) -> None:
    assert "change it there" in complaint(capsys, "text", "--course", course, "--package", "numpy")


def test_one_beginning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = complaint(capsys, "--from", "debian", "--rootfs", str(tmp_path))
    assert "either --from or --rootfs" in said
