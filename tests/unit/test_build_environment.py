"""Environments: unpacked once for a lock, read-only, and a failed install explained."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from support.wheels import make_wheel

from pipeline.backends.images import Base
from pipeline.environments import Environment, failed, make_environment
from pipeline.errors import InfrastructureError
from pipeline.package_tool import Finished, PackageTool

BASE = Base(name="default", digest="sha256:" + "1" * 64, python_version="3.11.0", packages={})
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def made(tmp_path: Path, wheel: Path, *, sha256: str | None = None) -> Environment:
    name, version = wheel.name.split("-")[:2]
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    tool = PackageTool(tmp_path / "uv", NOWHERE, (str(wheel.parent),))
    return make_environment(lock, digest, BASE, tmp_path / "cache", tool)


def test_an_empty_lock_needs_no_environment(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    tool = PackageTool(tmp_path / "uv", NOWHERE)
    assert make_environment(tmp_path / "lock", "0", BASE, tmp_path, tool).folder is None


def test_wheels_are_unpacked_once_read_only_with_bytecode(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "alpha")
    first = made(tmp_path, wheel)
    assert first.folder is not None
    module = first.folder / "alpha.py"
    assert stat.S_IMODE(module.stat().st_mode) == 0o444
    assert module.stat().st_nlink == 1
    assert list(first.folder.glob("__pycache__/alpha.*.pyc"))
    assert first.size_bytes >= module.stat().st_size
    again = made(tmp_path, wheel)
    assert (first.cached, again.cached, again.folder) == (False, True, first.folder)


def test_a_wheel_with_pth_and_modules_of_ours_is_noted(tmp_path: Path) -> None:
    files = {"evil.pth": "import os; os.abort()\n", "runner/__init__.py": "", "torch.py": "", "fine.py": ""}
    environment = made(tmp_path, make_wheel(tmp_path / "wheels", "evil", files=files))
    assert [word for note in environment.notes for word in ("evil.pth", "runner", "torch.py") if word in note] == [
        "evil.pth",
        "runner",
        "torch.py",
    ]


def test_a_wheel_of_another_content_than_was_locked_is_not_installed(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "alpha")
    with pytest.raises(InfrastructureError) as caught:
        made(tmp_path, wheel, sha256="0" * 64)
    assert "alpha==1.0 in phase download" in caught.value.message
    assert "locked" in caught.value.hint
    assert list((tmp_path / "cache" / "environments").iterdir()) == []


def test_a_wheel_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    made(tmp_path, make_wheel(tmp_path / "wheels", "evil", files={"../../escaped.py": "x", "evil.py": ""}))
    assert not list(tmp_path.rglob("escaped.py"))


@pytest.mark.parametrize(
    ("code", "complaint", "words", "hint"),
    [
        (-9, "", "killed (137)", "memory"),
        (137, "", "killed (137)", "memory"),
        (
            1,
            "error: Failed to install: big-1.0.whl (`big==1.0`)\n cause: No space left on device (os error 28)",
            "big==1.0 in phase unpack: ENOSPC",
            "free space",
        ),
        (
            2,
            "error: Failed to download `big==1.0`\n cause: error sending request for url (https://host.example/b.whl)",
            "big==1.0 in phase download",
            "when the index can be reached",
        ),
        (124, "no answer within 900 s", "phase download", "when the index can be reached"),
        (1, "error: Failed to extract `big==1.0`: invalid zip", "big==1.0 in phase unpack", "damaged"),
    ],
)
def test_a_failed_install_names_requirement_phase_evidence_and_one_thing_to_do(
    code: int, complaint: str, words: str, hint: str
) -> None:
    error = failed(Finished(code, complaint))
    assert words in error.message
    assert hint in error.hint
    assert "host.example" not in error.message
    assert error.exit_code == 3
