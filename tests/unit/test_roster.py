"""students.csv and jenkins.toml: every fault at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.build_server import read_build_server
from pipeline.errors import CourseError, InfrastructureError, UsageError
from pipeline.roster import Owner, read_roster

TOML = """\
url = "https://jenkins.example/ci"
user = "dispatcher"
token_file = "token"
[script]
repository = "https://git.example/staff.git"
"""


def roster(folder: Path, text: str | bytes) -> Path:
    file = folder / "students.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize(
    "text",
    [
        "name,email,jenkins,team\nada,ada@x.example,,\nbob,,B.Ob,seven\ncleo,,,seven\n\n",
        "\ufeffname;team;jenkins\r\nada;;\r\nbob;seven;B.Ob\r\ncleo;seven;\r\n",
    ],
    ids=["commas", "a spreadsheet's"],
)
def test_students_and_teams_own_what_they_push(text: str, tmp_path: Path) -> None:
    assert read_roster(roster(tmp_path, text)) == (Owner("ada", ("ada",)), Owner("seven", ("B.Ob", "cleo")))


def test_every_fault_of_a_roster_with_its_line(tmp_path: Path) -> None:
    text = "name,email,team\nada,,\nAda,,\nada,,\nbob,not an address,\ncleo,,ada\ndora,,,more\n../x,,\n"
    with pytest.raises(CourseError) as raised:
        read_roster(roster(tmp_path, text))
    assert sorted(one.line or 0 for one in raised.value.faults) == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    "text", ["", "student\nada\n", "name,nmae\n", b"name\n\xff\xfe\n", 'name\n"ada\n', "a" * 3_000_000]
)
def test_what_is_no_roster_is_refused(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(CourseError):
        read_roster(roster(tmp_path, text))


def test_a_roster_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="students"):
        read_roster(tmp_path / "students.csv")


def test_settings_of_a_build_server(tmp_path: Path) -> None:
    assert read_build_server(tmp_path) is None
    (tmp_path / "jenkins.toml").write_text(TOML)
    (tmp_path / "token").write_text("secret\n")
    server = read_build_server(tmp_path)
    assert server is not None
    assert server.url == "https://jenkins.example/ci/"
    assert server.token() == "secret"


def test_every_fault_of_a_build_server_with_its_line(tmp_path: Path) -> None:
    text = TOML.replace("https://jenkins", "https://user:secret@jenkins").replace('user = "d', 'user = "d d')
    (tmp_path / "jenkins.toml").write_text(text.replace("[script]", "stuff = 1\n[script]"))
    with pytest.raises(CourseError) as raised:
        read_build_server(tmp_path)
    assert sorted(one.line or 0 for one in raised.value.faults) == [1, 2, 4]


@pytest.mark.parametrize("content", [None, "", "two words", "two\nlines"])
def test_a_token_stands_in_one_line_of_its_file(content: str | None, tmp_path: Path) -> None:
    (tmp_path / "jenkins.toml").write_text(TOML)
    if content is not None:
        (tmp_path / "token").write_text(content)
    server = read_build_server(tmp_path)
    assert server is not None
    with pytest.raises(InfrastructureError, match="token"):
        server.token()
