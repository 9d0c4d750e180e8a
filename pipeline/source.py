"""A submission's files, brought into the run's folder as bounded, regular files with plain names, or refused by name.

Nothing here runs what it copies. Faults are collected, so that a student sees them together with all others.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import Fault, UsageError
from pipeline.settings import Limits

IGNORED = {
    ".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache",
    ".ruff_cache", ".tox", ".idea", ".vscode", "node_modules",
}  # fmt: skip
PLAIN_NAME = re.compile(r"[\w.][\w .,+=@()\[\]~-]*")
MOST_FAULTS = 20
MB = 2**20


@dataclass(frozen=True)
class SourceFile:
    """A file that may be copied. `place` says where its content is: a path, or a git object."""

    path: str
    executable: bool
    size: int
    place: str


@dataclass
class Tree:
    """The files of a submission that were accepted, and what was refused."""

    limits: Limits
    files: list[SourceFile] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    refused: int = 0
    size: int = 0
    full: bool = False

    def refuse(self, path: bytes, message: str, hint: str = "") -> None:
        """Notes a fault; after many only their number."""
        self.refused += 1
        if self.refused <= MOST_FAULTS:
            self.faults.append(Fault(shown(path), message, hint))
        self.full = self.full or self.refused > self.limits.source_files

    def add(self, path: bytes, *, executable: bool, size: int, place: str) -> None:
        """Accepts a file, or notes why not: its name, its depth, or that the tree grows too large."""
        if self.full or not self.name_is_plain(path):
            return
        self.size += size
        self.files.append(SourceFile(path.decode(), executable, size, place))
        if len(self.files) > self.limits.source_files or self.size > self.limits.source_mb * MB:
            self.full = True

    def name_is_plain(self, path: bytes) -> bool:
        try:
            parts = path.decode().split("/")
        except UnicodeDecodeError:
            self.refuse(path, "has a name that is not UTF-8", "rename it")
            return False
        if len(parts) > self.limits.source_depth:
            self.refuse(path, f"lies {len(parts)} folders deep, and {self.limits.source_depth} are allowed")
            return False
        if any(part in {".", "..", ".git"} or not PLAIN_NAME.fullmatch(part) for part in parts):
            self.refuse(path, "has a name that is not accepted", "rename it with letters, digits and . _ - only")
            return False
        return True

    def all_faults(self) -> tuple[Fault, ...]:
        """Every fault, the last ones as a number, and that the tree is too large with what takes most of it."""
        faults = list(self.faults)
        if self.refused > MOST_FAULTS:
            faults.append(Fault("submission", f"{self.refused - MOST_FAULTS} more files were refused like these"))
        if self.full:
            faults.append(self.too_large())
        return tuple(faults)

    def too_large(self) -> Fault:
        limits = self.limits
        largest = sorted(self.files, key=lambda one: one.size, reverse=True)[:3]
        names = ", ".join(f"{shown(one.path.encode())} ({one.size / MB:.1f} MB)" for one in largest)
        allowed = f"{limits.source_files} files and {limits.source_mb:g} MB are allowed"
        return Fault("submission", f"is too large: {allowed}", f"keep data and results out of it; largest are {names}")


def shown(path: bytes) -> str:
    """A path as a person can read it and a terminal can bear it."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


def list_folder(folder: Path, limits: Limits) -> Tree:
    """The files of a folder, links not followed. Raises UsageError where the folder cannot be read."""
    tree = Tree(limits)
    for entry in entries(os.fsencode(folder), limits.source_depth + 1):
        path = os.path.relpath(entry.path, os.fsencode(folder))
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            tree.refuse(path, *about_link(entry, folder))
        elif stat.S_ISREG(mode):
            size = entry.stat(follow_symlinks=False).st_size
            tree.add(path, executable=bool(mode & 0o100), size=size, place=os.fsdecode(entry.path))
        else:
            tree.refuse(path, f"is {kind_of(mode)}, and only files and folders are accepted", "remove it")
        if tree.full:
            break
    return tree


def entries(folder: bytes, depth: int) -> Iterator[os.DirEntry[bytes]]:
    """All but folders under `folder`, in the order of their names; ignored folders and runs are left out."""
    try:
        with os.scandir(folder) as scan:
            listed = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be read: {error.strerror}") from None
    for entry in listed:
        if os.fsdecode(entry.name) in IGNORED:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield entry
        elif depth > 1 and not is_run(Path(os.fsdecode(entry.path))):
            yield from entries(entry.path, depth - 1)
        elif depth <= 1:
            yield entry


def is_run(folder: Path) -> bool:
    """A run of this pipeline, which lies in the student's own folder when it was started there."""
    return (folder / "record.json").is_file() and (folder / "private").is_dir()


def about_link(entry: os.DirEntry[bytes], folder: Path) -> tuple[str, str]:
    link = Path(os.fsdecode(entry.path))
    target = link.readlink()
    inside = Path(os.path.normpath(link.parent / target)).is_relative_to(folder)
    return link_fault(os.fsencode(target), inside=inside)


def link_fault(target: bytes, *, inside: bool) -> tuple[str, str]:
    """What is said of a link, wherever it was found."""
    if inside:
        return f"is a link to {shown(target)}, and links are not copied", "put the file itself there"
    return f"is a link out of the tree, to {shown(target)}", "remove it, or put the file itself there"


def kind_of(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder that lies too deep",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def read_regular(path: str, at_most: int) -> bytes | None:
    """A regular file's bytes; None where it is none any more or has grown past `at_most`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(at_most + 1)
    return content if len(content) <= at_most else None


def write_file(folder: Path, file: SourceFile, content: bytes) -> None:
    """Writes one accepted file under `folder`, which is ours alone."""
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if file.executable else 0o644)


def line_of_digest(file: SourceFile, content: bytes) -> bytes:
    mode = b"100755" if file.executable else b"100644"
    return file.path.encode() + b"\0" + mode + b"\0" + hashlib.sha256(content).hexdigest().encode() + b"\n"


def tree_digest(lines: list[bytes]) -> str:
    """The sha256 of a tree: path, mode and content of each file, in the order of the paths' bytes."""
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def remove_folder(folder: Path) -> None:
    """Removes a folder of ours that may have been made read-only."""
    if not folder.exists():
        return
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)
