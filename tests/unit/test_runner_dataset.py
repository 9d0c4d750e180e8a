"""Data sets and archives: what is taken, and how what is not taken is named."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from runner.archives import Bounds, extract_tar, extract_zip
from runner.dataset import from_archive, from_arrays
from runner.errors import FormatError, RunnerError

OLDER = """
import numpy as np, torch
from pathlib import Path
class Rows(torch.utils.data.Dataset):
    def __init__(self):
        self.images = np.load(Path(__file__).parent / "images.npy")
    def __len__(self):
        return len(self.images)
    def __getitem__(self, row):
        return torch.from_numpy(self.images[row]), row % 10
Dataset = Rows()
"""


def archive(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def odd_archive(entry: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.addfile(entry)
    return content.getvalue()


def package(code: str, **files: bytes) -> bytes:
    return archive({"dataset_dl/__init__.py": code.encode()} | {f"dataset_dl/{n}.npy": c for n, c in files.items()})


def test_a_shard_is_normalised_a_batch_at_a_time() -> None:
    images = np.arange(4 * 28 * 28, dtype=np.uint64).astype(np.uint8).reshape(4, 28, 28)
    labels = np.array([3, 1, 4, 1], np.uint8)
    rows = from_arrays(save({"images": images, "labels": labels}, {"mean": "0.1307", "std": "0.3081"}))
    batch, classes = rows.batch(np.array([2, 0]))
    assert list(batch.shape) == [2, 1, 28, 28]
    np.testing.assert_allclose(batch[0, 0], (images[2] / 255 - 0.1307) / 0.3081, rtol=1e-5, atol=1e-5)
    assert (len(rows), classes.tolist()) == (4, [4, 3])


@pytest.mark.parametrize(
    ("arrays", "metadata", "reason"),
    [
        ({"labels": np.zeros(2, np.uint8)}, {}, "no array images"),
        ({"images": np.zeros((2, 28, 28), np.float32), "labels": np.zeros(2, np.uint8)}, {}, "no array images"),
        ({"images": np.zeros((2, 28, 28), np.uint8), "labels": np.zeros(3, np.uint8)}, {}, "no array labels"),
        ({"images": np.zeros((2, 28, 28), np.uint8), "labels": np.zeros(2, np.uint8)}, {"std": "0"}, "std must be"),
        ({"images": np.zeros((2, 28, 28), np.uint8), "labels": np.zeros(2, np.uint8)}, {"mean": "nan"}, "mean in"),
    ],
)
def test_a_shard_that_is_none_is_named(arrays: dict[str, np.ndarray], metadata: dict[str, str], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        from_arrays(save(arrays, metadata))


def test_the_older_form_gives_the_rows_of_its_instance() -> None:
    content = io.BytesIO()
    np.save(content, np.arange(3 * 4, dtype=np.float32).reshape(3, 1, 2, 2))
    before = list(sys.path)
    rows = from_archive(package(OLDER, images=content.getvalue()))
    images, labels = rows.batch(np.array([2]))
    assert images.tolist() == [[[[8, 9], [10, 11]]]]
    assert labels.tolist() == [2]
    assert sys.path == before
    assert "dataset_dl" not in sys.modules


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import torchvision_is_not_here", "__init__.py, line 1: ModuleNotFoundError"),
        (
            "import torchvision.datasets",
            "imports torchvision, which is not in the image; put the rows into the archive",
        ),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1/mnist')", "tried to download .http://127"),
        ("try:\n  import socket; socket.create_connection(('127.0.0.1', 1))\nexcept OSError: x", "tried to download"),
        ("class Dataset: pass", "an instance of a torch data set"),
        ("Dataset = []", "Dataset has 0 rows"),
        ("Dataset = [(1, 2), (1,)]", "ValueError: not enough values"),
        ("raise SystemExit(1)", "SystemExit"),
    ],
)
def test_an_older_form_that_cannot_be_used_says_what_to_change(code: str, reason: str) -> None:
    if "torchvision." in code:
        sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        with pytest.raises(RunnerError, match=reason):
            from_archive(package(code))
    finally:
        sys.modules.pop("torchvision", None)


def test_an_archive_without_the_package_is_named() -> None:
    with pytest.raises(FormatError, match="has no package dataset_dl"):
        from_archive(archive({"other/__init__.py": b""}))


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\nb", "a\\b", "/".join("abcdefghijklmnopqrs")])
def test_a_name_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no name inside|nested"):
        extract_tar(archive({name: b"x"}), tmp_path / "in", "data set")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_only_files_and_folders_are_taken(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("odd")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(FormatError, match="'odd' is a link, a device or a pipe"):
        extract_tar(odd_archive(entry), tmp_path, "data set")
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        entry = zipfile.ZipInfo("odd")
        entry.external_attr = 0o120777 << 16
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(FormatError, match="a link, a device or a pipe"):
        extract_zip(content.getvalue(), tmp_path, "code")


def test_bombs_are_stopped_by_bytes_files_and_ratio(tmp_path: Path) -> None:
    for folder, files, bounds in (
        ("bytes", {"a": bytes(3 << 20)}, Bounds(total_bytes=1 << 20)),
        ("ratio", {"a": bytes(30 << 20)}, Bounds()),
        ("files", {str(n): b"" for n in range(20)}, Bounds(files=10)),
        ("twice", {"a": b"1", "./a": b"2"}, Bounds()),
    ):
        with pytest.raises(FormatError, match=r"more bytes than|more than 10 files|there twice"):
            extract_tar(archive(files), tmp_path / folder, "data set", bounds)
        assert sum(path.stat().st_size for path in (tmp_path / folder).rglob("*") if path.is_file()) <= 8 << 20


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    whole = archive({"a": np.random.default_rng(1).bytes(100_000)})
    for content in (whole[: len(whole) // 2], whole[:50], b"\x1f\x8b" + bytes(100), b"", b"text"):
        with pytest.raises(FormatError, match="the archive is damaged"):
            extract_tar(content, tmp_path / str(len(content)), "data set")
