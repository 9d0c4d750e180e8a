"""Repositories that were made to harm: cases 12 and 16 to 22 of docs/security.md, from a git server on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from frame.processes import Processes
from support.stages import new_run, submission, walk

from pipeline.errors import InfrastructureError, SubmissionError, UsageError
from pipeline.run import Run

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, input=stdin)
    return done.stdout.decode().strip()


def repository(folder: Path) -> Path:
    submission(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=x")
    return git(folder, "rev-parse", "HEAD")


def commit_tree(folder: Path, *entries: tuple[str, str, str, bytes]) -> str:
    """A commit of a tree as no `git add` would make it: mode, kind, object, name."""
    listing = b"".join(f"{mode} {kind} {name}\t".encode() + path + b"\0" for mode, kind, name, path in entries)
    tree = git(folder, "mktree", "-z", "--missing", stdin=listing)
    made = git(folder, "commit-tree", tree, "-m", "x")
    git(folder, "update-ref", "refs/heads/main", made)
    return made


def blob(folder: Path, content: bytes) -> str:
    return git(folder, "hash-object", "-w", "--stdin", stdin=content)


@pytest.fixture
def server(tmp_path: Path, processes: Processes) -> str:
    """The address of a git server for the repositories under tmp_path/served."""
    (tmp_path / "served").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    processes.start(
        [*command, f"--base-path={tmp_path / 'served'}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    return f"git://127.0.0.1:{port}"


def fetched(tmp_path: Path, source: Path | str, ref: str | None = None) -> Run:
    run = new_run(tmp_path / "run", source, ref=ref)
    walk(run, "fetch")
    return run


def said(run: Run) -> list[str]:
    return [str(fault) for fault in run.record.fetch_faults]


def test_a_commit_of_a_server_is_fetched_shallow_and_whole(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    old = git(folder, "rev-parse", "HEAD")
    (folder / "more.py").write_text("")
    new = commit(folder)
    for number, (ref, expected) in enumerate(((None, new), ("main", new), (new, new), (old, old))):
        run = new_run(tmp_path / f"run-{number}", f"{server}/a", ref=ref)
        walk(run, "fetch")
        assert run.record.fetched is not None
        assert run.record.fetched.commit == expected
        assert (run.source / "more.py").exists() == (expected == new)
        assert not (run.private / "git").exists()


def test_a_branch_that_the_server_lacks_is_the_students(tmp_path: Path, server: str) -> None:
    repository(tmp_path / "served" / "a")
    with pytest.raises(SubmissionError, match="has no 'gone'"):
        fetched(tmp_path, f"{server}/a", "gone")


def test_a_repository_that_is_not_there_is_a_fault_of_usage(tmp_path: Path, server: str) -> None:
    with pytest.raises(UsageError):
        fetched(tmp_path, f"{server}/none")


def test_a_server_that_does_not_answer_is_infrastructure(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        fetched(tmp_path, "git://127.0.0.1:9/a")


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch /tmp/x", "-x", "a b", "main:refs/heads/x", "main\n", "@{-1}", "a..b"]
)
def test_12_a_ref_is_a_name_and_nothing_else(tmp_path: Path, server: str, ref: str) -> None:
    repository(tmp_path / "served" / "a")
    with pytest.raises(SubmissionError, match="no branch, tag or commit"):
        fetched(tmp_path, f"{server}/a", ref)


def test_16_a_submodule_is_refused_and_its_url_not_used(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    mark = tmp_path / "ran"
    text = f'[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch {mark}"\n'
    model, modules = blob(folder, b"x = 1\n"), blob(folder, text.encode())
    entries = (("100644", "blob", modules, b".gitmodules"), ("100644", "blob", model, b"model.py"))
    commit_tree(folder, *entries, ("160000", "commit", "1" * 40, b"s"))
    try:
        run = fetched(tmp_path, f"{server}/a")
    except (SubmissionError, InfrastructureError):
        pass  # git's own check of what it receives may refuse such a file first
    else:
        assert any("s: is a submodule" in one for one in said(run))
    assert not mark.exists()


def test_17_a_folder_whose_configuration_names_programs_runs_none(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a")
    mark = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.sshCommand", "diff.external"):
        git(folder, "config", key, str(program))
    git(folder, "config", "core.hooksPath", str(tmp_path))
    git(folder, "config", "protocol.ext.allow", "always")
    (folder / ".gitattributes").write_text("* filter=evil\n")
    for number, ref in enumerate((None, "main")):
        walk(new_run(tmp_path / f"run-{number}", folder, ref=ref), "fetch")
    assert not mark.exists()


def test_17_a_bare_repository_inside_the_tree_is_only_files(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a")
    mark = tmp_path / "ran"
    git(folder, "init", "--quiet", "--bare", "inner")
    git(folder / "inner", "config", "core.fsmonitor", f"touch {mark}")
    run = fetched(tmp_path, folder)
    assert (run.source / "inner" / "config").exists()
    assert not mark.exists()


def test_18_export_ignore_hides_nothing(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    (folder / ".gitattributes").write_text("secret.py export-ignore\nmodel.py export-subst\n")
    (folder / "secret.py").write_text("x = '$Format:%H$'\n")
    commit(folder)
    run = fetched(tmp_path, f"{server}/a")
    assert (run.source / "secret.py").read_text() == "x = '$Format:%H$'\n"


def test_19_links_are_refused_by_name_and_not_followed(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../../secret")
    (folder / "in").symlink_to("model.py")
    commit(folder)
    run = fetched(tmp_path, f"{server}/a")
    assert any("out: is a link out of the tree, to /etc/passwd" in one for one in said(run))
    assert any("up: is a link out of the tree" in one for one in said(run))
    assert any("in: is a link to model.py" in one for one in said(run))
    assert sorted(path.name for path in run.source.iterdir()) == ["model.py"]


NAMES = [
    b"a\nb.py",
    b"\x1b[2Jx.py",
    b"-rf",
    b"$(touch x).py",
    b"\xff\xfe.py",
    b"a;b.py",
    b"`id`",
    b"a\\b.py",
    b'a"b.py',
]


def test_21_names_that_are_not_plain_are_refused_and_shown_without_harm(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    content = blob(folder, b"")
    commit_tree(folder, *(("100644", "blob", content, name) for name in sorted(NAMES)))
    run = fetched(tmp_path, f"{server}/a")
    assert len(run.record.fetch_faults) == len(NAMES)
    assert all(one.isprintable() for one in said(run))
    assert list(run.source.iterdir()) == []


def test_22_a_tree_of_trees_of_trees_ends_at_the_limit(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    below, kind, mode = blob(folder, b""), "blob", "100644"
    for _ in range(10):
        listing = b"".join(f"{mode} {kind} {below}\tn{number}\0".encode() for number in range(10))
        below, kind, mode = git(folder, "mktree", "-z", stdin=listing), "tree", "040000"
    git(folder, "update-ref", "refs/heads/main", git(folder, "commit-tree", below, "-m", "x"))
    run = fetched(tmp_path, f"{server}/a")
    assert any("is too large" in one for one in said(run))
    assert len(list(run.source.rglob("n*"))) < 5000


def test_22_a_blob_that_is_too_large_is_not_written(tmp_path: Path, server: str) -> None:
    folder = repository(tmp_path / "served" / "a")
    with (folder / "zeros.bin").open("wb") as file:
        file.truncate(64 * 2**20)
    commit(folder)
    run = fetched(tmp_path, f"{server}/a")
    assert any("zeros.bin (64.0 MB)" in one for one in said(run))
    assert not (run.source / "zeros.bin").exists()
