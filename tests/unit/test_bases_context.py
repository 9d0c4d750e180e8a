"""A build's context: the same bytes for the same files; what a base keeps of its wheels."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from support.wheels import make_wheel

from pipeline.bases.builder import modules_of
from pipeline.bases.context import EPOCH, write_context
from pipeline.bases.resolve import resolve_base
from pipeline.bases.target import Target
from pipeline.bases.unpack import described, unpack_base
from pipeline.package_tool import PackageTool


def context_of(folder: Path) -> bytes:
    target = io.BytesIO()
    write_context(target, "FROM scratch\n", {"code": folder})
    return target.getvalue()


def test_times_owners_and_modes_of_a_folder_do_not_get_in(tmp_path: Path) -> None:
    for name, mode, when in (("a", 0o600, 1_000_000_000), ("b", 0o666, 1_700_000_000)):
        (tmp_path / name / "inner").mkdir(parents=True, mode=0o700)
        for file in ("z.py", "a.py", "inner/m.py"):
            path = tmp_path / name / file
            path.write_text(file)
            path.chmod(mode)
            os.utime(path, (when, when))
    assert context_of(tmp_path / "a") == context_of(tmp_path / "b")
    with tarfile.open(fileobj=io.BytesIO(context_of(tmp_path / "a"))) as archive:
        entries = {one.name: one for one in archive}
    assert list(entries) == ["Dockerfile", "code", "code/a.py", "code/inner", "code/inner/m.py", "code/z.py"]
    assert {(one.uid, one.gid, one.mtime) for one in entries.values()} == {(0, 0, EPOCH)}
    assert {one.mode & 0o222 for one in entries.values()} == {0}


def test_a_link_and_a_pipe_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    (tmp_path / "passwords").symlink_to("/etc/shadow")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(fileobj=io.BytesIO(context_of(tmp_path))) as archive:
        assert archive.getnames() == ["Dockerfile", "code", "code/model.py"]


def test_what_no_job_needs_is_left_out_of_a_base(tmp_path: Path) -> None:
    kept = ["torch/__init__.py", "torch/bin/torch_shm_manager", "torch/lib/libtorch.so", "torch/testing/__init__.py"]
    dropped = [
        "torch/include/a.h",
        "torch/lib/libx.a",
        "torch/bin/protoc",
        "torch/nn/tests/test_a.py",
        "torch/test/b.py",
    ]
    make_wheel(tmp_path / "wheels", "torch", files=dict.fromkeys((*kept, *dropped), "x = 1\n"))
    tool = PackageTool(tmp_path / "uv", "http://127.0.0.1:9/simple", (str(tmp_path / "wheels"),))
    target = Target("3.11")
    size = unpack_base(resolve_base(("torch",), target, tool), target, tmp_path / "packages", tool)
    there = {path.relative_to(tmp_path / "packages").as_posix() for path in (tmp_path / "packages").rglob("*.*")}
    assert set(kept) - {"torch/bin/torch_shm_manager"} <= there
    assert (tmp_path / "packages" / "torch" / "bin" / "torch_shm_manager").exists()
    assert not set(dropped) & there and not (tmp_path / "packages/torch/bin/protoc").exists()
    assert size > 0


def test_a_resolver_gets_to_know_what_packages_need(tmp_path: Path) -> None:
    files = {"sklearn/__init__.py": "", "sklearn/_private.py": ""}
    make_wheel(tmp_path / "wheels", "scikit-learn", "1.5", requires=["numpy>=2"], files=files)
    make_wheel(tmp_path / "wheels", "numpy", "2.4", files={"numpy/__init__.py": "", "extra.py": ""})
    tool = PackageTool(tmp_path / "uv", "http://127.0.0.1:9/simple", (str(tmp_path / "wheels"),))
    unpack_base(resolve_base(("scikit-learn",), Target("3.11"), tool), Target("3.11"), tmp_path / "packages", tool)
    versions, metadata = described(tmp_path / "packages")
    assert versions == {"numpy": "2.4", "scikit-learn": "1.5"}
    assert (
        metadata["scikit-learn"] == "Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.5\nRequires-Dist: numpy>=2\n"
    )
    assert modules_of(tmp_path / "packages", versions) == ["numpy", "sklearn"]
