"""`pipeline init` writes what a student can push, and never over anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import starter
from pipeline.cli.app import call

COPIED = ("model.py", "requirements.txt", "submission.toml", "README.md")


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "examples" / "mnist_train"
    folder.mkdir(parents=True)
    for name in (*COPIED, "expected.toml"):
        (folder / name).write_text(f"# {name}\n")
    monkeypatch.setattr(starter, "EXAMPLES", folder.parent)
    return folder


def test_it_writes_the_example_without_its_expectations(example: Path, tmp_path: Path) -> None:
    assert call(["init", "--into", str(tmp_path / "mine")]) == 0
    written = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert written == sorted([*COPIED, ".gitignore"])


@pytest.mark.parametrize("there", ["model.py", ".gitignore"])
def test_nothing_is_written_where_one_file_is_there(
    there: str, example: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / there).write_text("my own work")
    assert call(["init", "--into", str(mine)]) == 2
    assert there in capfd.readouterr().err
    assert [path.name for path in mine.iterdir()] == [there]
    assert (mine / there).read_text() == "my own work"


def test_a_dangling_link_is_not_written_through(example: Path, tmp_path: Path) -> None:
    mine, outside = tmp_path / "mine", tmp_path / "outside"
    mine.mkdir()
    (mine / "model.py").symlink_to(outside)
    assert call(["init", "--into", str(mine)]) == 2
    assert not outside.exists()


def test_an_unknown_kind_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["init", "trian", "--into", str(tmp_path)]) == 2
    assert "train" in capfd.readouterr().err
