"""fetch: what is copied, what is refused by name, and the digest of a tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.stages import new_run, submission, walk

from pipeline.errors import SubmissionError, UsageError
from pipeline.practice import MNIST_TRAIN
from pipeline.run import Run
from pipeline.settings import Course, Limits


def fetched(tmp_path: Path, source: Path, **request: object) -> Run:
    run = new_run(tmp_path / f"run-{len(list(tmp_path.iterdir()))}", source, **request)
    walk(run, "fetch")
    return run


def names(run: Run) -> list[str]:
    return sorted(path.relative_to(run.source).as_posix() for path in run.source.rglob("*") if path.is_file())


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """A repository with one commit of a submission; the commit."""
    submission(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=one")
    return git(folder, "rev-parse", "HEAD")


def test_a_folder_is_copied_without_caches_and_earlier_runs(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", submission__toml="epochs = 1")
    for inside in (
        ".venv/lib/x.py",
        "__pycache__/model.pyc",
        ".git/config",
        "package/__init__.py",
        "runs/1/record.json",
    ):
        (source / inside).parent.mkdir(parents=True, exist_ok=True)
        (source / inside).write_text("")
    (source / "runs" / "1" / "private").mkdir()
    run = fetched(tmp_path, source)
    assert names(run) == ["model.py", "package/__init__.py", "submission.toml"]
    assert run.record.fetched is not None
    assert (run.record.fetched.commit, run.record.fetched.files) == (None, 3)
    assert run.record.fetch_faults == ()


def test_the_digest_is_of_paths_modes_and_content_alone(tmp_path: Path) -> None:
    def digest(source: Path) -> str:
        found = fetched(tmp_path, source).record.fetched
        assert found is not None
        return found.tree_sha256

    one, two = submission(tmp_path / "one", a__py="a"), submission(tmp_path / "two", a__py="a")
    os.utime(two / "a.py", (0, 0))
    assert digest(one) == digest(two)
    (two / "a.py").chmod(0o755)
    executable = digest(two)
    assert executable != digest(one)
    (two / "a.py").rename(two / "b.py")
    assert digest(two) != executable


def test_a_second_fetch_replaces_the_first_even_when_it_was_made_read_only(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", old__py="")
    run = new_run(tmp_path / "run", source)
    walk(run, "fetch")
    run.source.chmod(0o555)
    (source / "old.py").unlink()
    walk(run, "fetch")
    assert names(run) == ["model.py"]


def test_a_tree_that_is_too_large_is_named_with_what_takes_most(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", data__bin=b"x" * 2_000_000)
    assignment = MNIST_TRAIN.model_copy(update={"limits": Limits(source_mb=1)})
    run = fetched(tmp_path, source, course=Course(practice=True, assignments=(assignment,)))
    assert [fault.where for fault in run.record.fetch_faults] == ["submission"]
    assert "data.bin (1.9 MB)" in str(run.record.fetch_faults[0])
    assert not (run.source / "data.bin").exists()


def test_too_many_files_and_too_deep_folders_are_refused(tmp_path: Path) -> None:
    source = submission(tmp_path / "source")
    for number in range(30):
        (source / f"f{number}.txt").write_text("")
    (source / "a/b/c/d/e").mkdir(parents=True)
    assignment = MNIST_TRAIN.model_copy(update={"limits": Limits(source_files=20, source_depth=3)})
    run = fetched(tmp_path, source, course=Course(practice=True, assignments=(assignment,)))
    said = [str(fault) for fault in run.record.fetch_faults]
    assert any("20 files" in one for one in said)
    assert any("too deep" in one for one in said)
    assert len(names(run)) <= 20


def test_a_source_that_is_no_folder_is_a_fault_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        fetched(tmp_path, tmp_path / "none")


def test_a_clean_checkout_has_its_commit_and_a_changed_one_none(tmp_path: Path) -> None:
    commit = repository(tmp_path / "source")
    assert getattr(fetched(tmp_path, tmp_path / "source").record.fetched, "commit", None) == commit
    (tmp_path / "source" / "model.py").write_text("# changed\n")
    assert getattr(fetched(tmp_path, tmp_path / "source").record.fetched, "commit", "") is None


def test_a_revision_of_a_local_repository_is_that_commit_and_not_the_folder(tmp_path: Path) -> None:
    commit = repository(tmp_path / "source")
    git(tmp_path / "source", "tag", "v1")
    (tmp_path / "source" / "model.py").write_text("# changed\n")
    (tmp_path / "source" / "new.py").write_text("")
    for ref in ("main", "v1", commit):
        run = fetched(tmp_path, tmp_path / "source", ref=ref)
        assert names(run) == ["model.py"]
        assert "build_model" in (run.source / "model.py").read_text()
        assert run.record.fetched is not None
        assert run.record.fetched.commit == commit


@pytest.mark.parametrize("ref", ["none", "0" * 40])
def test_a_revision_that_is_not_there_is_the_students(tmp_path: Path, ref: str) -> None:
    repository(tmp_path / "source")
    with pytest.raises(SubmissionError, match="no commit"):
        fetched(tmp_path, tmp_path / "source", ref=ref)


def test_a_revision_of_a_folder_without_git_is_a_fault_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git repository"):
        fetched(tmp_path, submission(tmp_path / "source"), ref="main")


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "file:///etc", "ftp://host.example/a", "fd::17/x", "transport::address", "rsync://h/a"]
)
def test_other_transports_are_refused_before_git_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match=r"transport|not allowed"):
        walk(new_run(tmp_path / "run", url), "fetch")


def test_a_commit_of_a_bare_repository_as_students_push_to(tmp_path: Path) -> None:
    source = tmp_path / "source"
    commit = repository(source)
    git(tmp_path, "clone", "--quiet", "--bare", str(source), "pushed.git")
    run = fetched(tmp_path, tmp_path / "pushed.git", ref=commit)
    assert names(run) == ["model.py"]
    assert run.record.fetched is not None
    assert run.record.fetched.commit == commit
