"""`pipeline course create` as staff type it: with a file that has faults, that is mended, that is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import app

EXAMPLE = Path(__file__).resolve().parents[2] / "submissions_example" / "course.toml"


def test_a_file_with_faults_makes_no_course_and_when_it_is_mended_it_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    settings.write_text(EXAMPLE.read_text().replace("passed_from", "pased_from"))

    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 2
    assert f"{settings}:13: unknown key `pased_from`" in capfd.readouterr().err
    assert not (folder / "course.toml").exists()

    settings.write_text(EXAMPLE.read_text())
    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 0
    assert (folder / "course.toml").read_text() == EXAMPLE.read_text()


def test_other_settings_for_a_course_that_is_there_are_not_passed_over_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    create = ["course", "create", str(folder), "--from"]
    assert app.call([*create, str(EXAMPLE)]) == 0
    assert app.call([*create, str(EXAMPLE)]) == 0
    assert "stays as it was" not in capfd.readouterr().out

    settings.write_text(EXAMPLE.read_text().replace("attempts = 20", "attempts = 3"))
    assert app.call([*create, str(settings)]) == 0
    assert f"stays as it was: change it there, {settings} is not taken" in capfd.readouterr().out
    assert (folder / "course.toml").read_text() == EXAMPLE.read_text()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file or directory"), (b"\xff", "is no text in UTF-8")]
)
def test_what_is_no_file_of_settings_makes_no_course(
    content: bytes | None, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    if content is not None:
        settings.write_bytes(content)
    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 2
    assert said in capfd.readouterr().err
    assert not (folder / "course.toml").exists()
