"""The files of one commit, listed before any is written. git runs no hook, no filter, no submodule, no other transport.

Case 12 and 16 to 19 of the hostile submissions (docs/security.md) end here.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from git import Git, GitCommandError

from pipeline.errors import InfrastructureError, SubmissionError, UsageError
from pipeline.git_process import ENVIRONMENT
from pipeline.settings import Limits
from pipeline.source import MB, Tree, link_fault
from pipeline.text import one_line

PROTOCOLS = {"https", "http", "ssh", "git"}
SCP_LIKE = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//)[\w./~-]+")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,200}")
ENTRY = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]+) +(-|\d+)\t(.+)", re.DOTALL)
WANTED = "refs/wanted"
SECONDS = 120
UNREACHABLE = ("could not resolve", "connection", "timed out", "timeout", "unable to access", "early eof", "hung up")


def protocol_of(source: str) -> str | None:
    """The transport of a git URL, None where `source` is a path. Raises UsageError for one that is not allowed."""
    if "::" in source.split("/")[0]:
        raise UsageError(
            f"{one_line(source)!r} asks for a transport helper", hint=f"use {', '.join(sorted(PROTOCOLS))}"
        )
    scheme = source.split("://")[0].lower() if "://" in source else None
    if scheme in PROTOCOLS:
        return scheme
    if scheme is not None:
        hint = f"use {', '.join(sorted(PROTOCOLS))}; for a repository on this machine give its folder"
        raise UsageError(f"git over {one_line(scheme)!r} is not allowed", hint=hint)
    return "ssh" if SCP_LIKE.fullmatch(source) and not Path(source).exists() else None


def checked_revision(ref: str) -> str:
    """A branch, tag or commit id by full match. Raises SubmissionError: such a ref is pushed (case 12)."""
    if not REVISION.fullmatch(ref) or ".." in ref or ref.endswith((".lock", "/", ".")) or "//" in ref:
        raise SubmissionError(f"{one_line(ref)!r} is no branch, tag or commit", hint="name one without other signs")
    return ref


def options(folder: Path, protocol: str | None) -> dict[str, str | list[str]]:
    """git's own options: which repository, one transport or none, nothing that could run a program."""
    settings = ["protocol.allow=never", *([f"protocol.{protocol}.allow=always"] if protocol else [])]
    settings += ["core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false", "credential.helper="]
    settings += ["transfer.fsckObjects=true", "fetch.recurseSubmodules=false", "gc.auto=0", "maintenance.auto=false"]
    settings += ["safe.bareRepository=explicit", f"safe.directory={folder}"]
    return {"git_dir": str(folder / ".git" if (folder / ".git").exists() else folder), "c": settings}


def guarded(folder: Path, protocol: str | None = None) -> Git:
    """git for one repository, without the machine's and the user's configuration."""
    git = Git(str(folder))
    git.update_environment(**ENVIRONMENT, GIT_ALLOW_PROTOCOL=protocol or "")
    git.set_persistent_git_options(**options(folder, protocol))
    return git


def fetch_commit(url: str, ref: str | None, protocol: str, folder: Path, limits: Limits) -> str:
    """Fetches one revision, shallow, into a bare repository at `folder`; the commit's id.

    Raises SubmissionError where the revision is not there, UsageError where the repository is not, and
    InfrastructureError where the server cannot be reached.
    """
    wanted = checked_revision(ref) if ref else "HEAD"
    folder.mkdir(parents=True)
    Git(str(folder)).init("--bare", "--quiet", "--template=", ".", env={"GIT_CONFIG_GLOBAL": "/dev/null"})
    git = guarded(folder, protocol)
    attempts = [["--depth=1", "--", url, f"+{wanted}:{WANTED}"]]
    if COMMIT.fullmatch(wanted):
        # a server may refuse a commit that no ref names: then its branches are fetched, and the commit looked for
        attempts.append(["--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"])
    for number, attempt in enumerate(attempts, start=1):
        try:
            fetch(git, options(folder, protocol), attempt, int(max(limits.source_mb * 4, 64) * MB))
            break
        except GitCommandError as error:
            if number == len(attempts):
                raise explained(error, url, wanted) from None
    return commit_of(git, wanted if COMMIT.fullmatch(wanted) else WANTED, wanted)


def fetch(git: Git, own: dict[str, str | list[str]], arguments: Sequence[str], most_bytes: int) -> None:
    """`git fetch` with a bound on time and on the size of any file that it writes."""
    words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", *arguments]
    git.execute(command(own, words), kill_after_timeout=SECONDS, preexec_fn=bounded(most_bytes))


def command(own: dict[str, str | list[str]], words: Sequence[str]) -> list[str]:
    """git's whole command line, for when more is said of its process than `guarded` can."""
    settings = [part for setting in own["c"] for part in ("-c", setting)]
    return ["git", f"--git-dir={own['git_dir']}", *settings, *words]


def bounded(most_bytes: int) -> Callable[[], None]:
    """Keeps git from writing a file larger than `most_bytes`: a repository can be a bomb."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return limit


def explained(error: GitCommandError, url: str, wanted: str) -> Exception:
    """git's complaint as an error of ours; a password in the URL is not shown."""
    text, shown = str(error.stderr).lower(), one_line(without_password(url))
    said = one_line(bare(without_password(str(error.stderr))).replace(url, shown))
    if "couldn't find remote ref" in text or "not our ref" in text:
        return SubmissionError(f"{shown} has no {wanted!r}", hint="push it, or name another revision with --ref")
    if "file size limit" in text or error.status in {-25, 153}:
        return SubmissionError(f"{shown} is too large to be fetched", hint="keep data and results out of it")
    if "not found" in text or "does not appear to be" in text or "authentication" in text or "denied" in text:
        return UsageError(f"{shown} cannot be read: {said}", hint="is the address right, and may this user read it?")
    if any(sign in text for sign in UNREACHABLE) or error.status in {-9, 137}:
        return InfrastructureError(
            f"{shown} cannot be reached: {said}", hint="see that it is right, or try again later"
        )
    return InfrastructureError(f"git could not fetch {shown}: {said}", hint="try again, or give a folder")


def bare(stderr: str) -> str:
    """What git said, without how GitPython sets it in its own message."""
    return stderr.strip().removeprefix("stderr:").strip().strip("'").strip()


def without_password(text: str) -> str:
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)


def clean_url(url: str) -> str:
    """The URL for a record: no user, no password, no query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) if parts.scheme else url


def commit_of(git: Git, revision: str, asked: str) -> str:
    """The commit that a revision names. Raises SubmissionError where there is none."""
    try:
        return str(git.rev_parse("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"))
    except GitCommandError:
        raise SubmissionError(
            f"the repository has no commit {asked!r}", hint="push it, or name another --ref"
        ) from None


def list_commit(git: Git, commit: str, limits: Limits) -> Tree:
    """The files of a commit, by `ls-tree`: what export-ignore or a filter would hide or change is there as it is."""
    tree = Tree(limits)
    for mode, kind, name, size, path in listed(git, commit):
        if kind == b"blob" and mode in {b"100644", b"100755"}:
            tree.add(path, executable=mode == b"100755", size=int(size), place=name.decode())
        elif mode == b"120000":
            target = read_blob(git, name.decode()) if int(size) <= 4096 else b"a long name"
            inside = not target.startswith(b"/") and b".." not in target.split(b"/")
            tree.refuse(path, *link_fault(target, inside=inside))
        elif kind == b"commit":
            tree.refuse(path, "is a submodule, and submodules are not fetched", "put its files into the repository")
        else:
            tree.refuse(path, f"has the mode {mode.decode()}, and only plain files are accepted")
        if tree.full:
            break
    return tree


def listed(git: Git, commit: str) -> Iterator[tuple[bytes, ...]]:
    """Mode, kind, object, size and path of each file of a commit, as they come: a tree can be a bomb."""
    process = git.ls_tree("-r", "-l", "-z", "--full-tree", commit, as_process=True)
    rest, ended = b"", False
    try:
        while chunk := process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\0")
            for line in lines:
                if entry := ENTRY.fullmatch(line):
                    yield entry.groups()
        ended = True
    finally:
        process.stdout.close()
        if ended:
            process.wait()
        else:
            process.terminate()


def clean_commit(folder: Path, blobs: dict[str, tuple[bool, str]]) -> str | None:
    """The commit that a folder's files are exactly those of; None where they are not, or it is no repository.

    Compared by our own hashes (path -> executable, blob id): `git status` would run the filters and the monitor
    that the folder's own configuration names.
    """
    if not (folder / ".git").exists():
        return None
    git = guarded(folder)
    try:
        commit = commit_of(git, "HEAD", "HEAD")
        there = {path: (mode == b"100755", name.decode()) for mode, _, name, _, path in listed(git, commit)}
    except (SubmissionError, GitCommandError):
        return None
    return commit if there == {path.encode(): blob for path, blob in blobs.items()} else None


def read_blob(git: Git, name: str) -> bytes:
    return bytes(git.get_object_data(name)[3])
