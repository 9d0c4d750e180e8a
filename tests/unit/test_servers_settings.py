"""The settings of a real OpenWhisk: what it needs beside its address, and what cannot be asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import COURSE

from pipeline.course import load_course
from pipeline.errors import CourseError
from pipeline.settings import Isolation

WITHOUT_MEMORY = COURSE.read_text().partition('[[assignments.checks]]\nname = "peak-memory"')[0].replace("= 90", "= 85")
WHOLE = """
[servers]
apihost = "https://openwhisk.example.org"
auth_file = "key"
advertise = "10.20.0.5"
ports = "31000-31099"
registry = "registry.example.org:5000/course"
"""


def course(folder: Path, servers: str, assignments: str = WITHOUT_MEMORY) -> Path:
    (folder / "key").write_text("u:k\n")
    path = folder / "course.toml"
    path.write_text(assignments + servers)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(CourseError) as caught:
        load_course(path, environment={})
    return [str(fault) for fault in caught.value.faults]


def test_whole_settings_are_taken(tmp_path: Path) -> None:
    servers = load_course(course(tmp_path, WHOLE), environment={}).course.servers
    assert servers.auth_file == tmp_path / "key" and servers.port_range == (31000, 31099)


@pytest.mark.parametrize("missing", ["auth_file", "advertise", "registry"])
def test_what_a_real_openwhisk_needs_is_named(tmp_path: Path, missing: str) -> None:
    lines = [line for line in WHOLE.splitlines() if not line.startswith(f"{missing} ")]
    (fault,) = faults(course(tmp_path, "\n".join(lines)))
    assert f"needs {missing} (" in fault and "course.toml:" in fault


@pytest.mark.parametrize(
    ("key", "value"),
    [("ports", "99999-100000"), ("ports", "31000"), ("ports", "31099-31000"), ("advertise", "http://10.0.0.1")],
)
def test_addresses_and_ports_have_a_form(tmp_path: Path, key: str, value: str) -> None:
    lines = [line for line in WHOLE.splitlines() if not line.startswith(f"{key} ")]
    assert key in " ".join(faults(course(tmp_path, "\n".join([*lines, f'{key} = "{value}"']))))


def test_what_nobody_measures_there_is_not_checked(tmp_path: Path) -> None:
    (fault,) = faults(course(tmp_path, WHOLE, COURSE.read_text()))
    assert "mnist-small" in fault and "peak_memory_mb" in fault


def test_the_record_says_what_is_not_enforced_there(tmp_path: Path) -> None:
    from pipeline.beginning import isolation_of

    isolation, unenforced = isolation_of(load_course(course(tmp_path, WHOLE), environment={}).course)
    assert isolation is Isolation.CONTAINER
    assert any("network" in one for one in unenforced) and any("encryption" in one for one in unenforced)
