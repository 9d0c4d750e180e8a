"""fetch: the submission's files at an exact commit, copied to the run's folder. Its faults are raised by check."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import Fault, SubmissionError, UsageError
from pipeline.run import Fetched, Record
from pipeline.settings import Limits
from pipeline.source import (
    Tree,
    line_of_digest,
    list_folder,
    read_regular,
    remove_folder,
    tree_digest,
    write_file,
)

if TYPE_CHECKING:
    from git import Git

    from pipeline.backends import Backends
    from pipeline.listener import StageLog
    from pipeline.run import Run

Read = Callable[[str, int], bytes | None]


def fetch(run: Run, _backends: Backends, log: StageLog) -> None:
    """Copies what can be copied and notes every fault of the tree in the record, for check to raise with its own.

    Raises UsageError for a source that is none, SubmissionError for a revision that is not there, and
    InfrastructureError where a git server cannot be reached.
    """
    request, limits = run.record.request, limits_of(run.record)
    partial = run.source.with_name("source.partial")
    for folder in (partial, run.source):
        remove_folder(folder)
    partial.mkdir(parents=True)
    folder = Path(request.source).expanduser()
    if not is_url(request.source):
        if not folder.is_dir():
            raise UsageError(f"{request.source} is no folder", hint="give a folder or a git URL")
        fetched, faults = from_folder(folder.resolve(), request.ref, partial, limits)
    else:
        fetched, faults = from_url(request.source, request.ref, run.private / "git", partial, limits)
    partial.rename(run.source)
    run.update(fetched=fetched, fetch_faults=faults)
    log(f"{fetched.files} files, {fetched.size_bytes} bytes" + (f", commit {fetched.commit}" if fetched.commit else ""))
    for fault in faults:
        log(f"refused: {fault}")


def limits_of(record: Record) -> Limits:
    """Those of the assignment; the most generous ones where it is not known before the submission is read."""
    assignments = record.course.assignments
    chosen = record.course.assignment(record.request.assignment or "")
    return chosen.limits if chosen else max((one.limits for one in assignments), key=lambda one: one.source_mb)


def is_url(source: str) -> bool:
    """Whether a source is a git URL; one that needs git is not asked where a folder of that name is there."""
    if Path(source).expanduser().is_dir():
        return False
    from pipeline.git_source import protocol_of

    return protocol_of(source) is not None


def from_folder(folder: Path, ref: str | None, target: Path, limits: Limits) -> tuple[Fetched, tuple[Fault, ...]]:
    """A folder as it is or, with a revision, that commit of the git repository in it."""
    if ref is None:
        return copy(list_folder(folder, limits), read_regular, target, folder)
    from pipeline.git_source import checked_revision, commit_of, guarded

    if not (folder / ".git").exists() and not is_bare(folder):
        raise UsageError(f"{folder} is no git repository, so it has no {ref!r}", hint="leave out --ref")
    git = guarded(folder)
    return from_commit(git, commit_of(git, checked_revision(ref), ref), target, limits)


def is_bare(folder: Path) -> bool:
    """Whether it is a repository without files of its own, as students push to."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def from_url(
    url: str, ref: str | None, folder: Path, target: Path, limits: Limits
) -> tuple[Fetched, tuple[Fault, ...]]:
    """One revision from a git server, by way of a bare repository that is removed again."""
    from pipeline.git_source import fetch_commit, guarded, protocol_of

    protocol = protocol_of(url)
    remove_folder(folder)
    try:
        commit = fetch_commit(url, ref, protocol or "", folder, limits)
        return from_commit(guarded(folder), commit, target, limits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def from_commit(git: Git, commit: str, target: Path, limits: Limits) -> tuple[Fetched, tuple[Fault, ...]]:
    from git import GitCommandError

    from pipeline.git_source import list_commit, read_blob

    try:
        fetched, faults = copy(list_commit(git, commit, limits), lambda name, _: read_blob(git, name), target, None)
    except (GitCommandError, ValueError):
        hint = "`git fsck` says what is missing; push it again"
        raise SubmissionError(f"the repository is damaged at commit {commit}", hint=hint) from None
    finally:
        git.clear_cache()
    return fetched.model_copy(update={"commit": commit}), faults


def copy(tree: Tree, read: Read, target: Path, folder: Path | None) -> tuple[Fetched, tuple[Fault, ...]]:
    """Writes the accepted files but the one that made the tree too large; one that changed meanwhile is refused."""
    lines: list[bytes] = []
    blobs: dict[str, tuple[bool, str]] = {}
    size = 0
    for file in tree.files[:-1] if tree.full else tree.files:
        content = read(file.place, file.size)
        if content is None:
            tree.refuse(file.path.encode(), "changed while it was read", "try again")
            continue
        write_file(target, file, content)
        lines.append(line_of_digest(file, content))
        blobs[file.path] = file.executable, hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        size += len(content)
    commit = clean_commit_of(folder, blobs) if folder else None
    return Fetched(commit=commit, tree_sha256=tree_digest(lines), files=len(lines), size_bytes=size), tree.all_faults()


def clean_commit_of(folder: Path, blobs: dict[str, tuple[bool, str]]) -> str | None:
    """git is loaded only where there is a repository: most of the time of this stage would go there."""
    if not (folder / ".git").exists():
        return None
    from pipeline.git_source import clean_commit

    return clean_commit(folder, blobs)
