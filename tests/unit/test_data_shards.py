"""Shards and hidden inputs: which rows go where, what they hold, what they must not hold."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load
from test_data_mnist import CONTENTS, NAMES

from pipeline.data.hidden import hidden_test
from pipeline.data.mnist import MnistFiles
from pipeline.data.shards import shard_bytes, shard_key, split_rows
from pipeline.data.split import split
from pipeline.errors import CourseError

SECRET = b"a secret of sixteen bytes or more"


def pictures(rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    images = np.zeros((rows, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = generator.integers(0, 256, (rows, 20, 20))
    return images, (np.arange(rows) % 10).astype(np.uint8)


@given(rows=st.integers(1, 70_000), shards=st.integers(1, 64))
def test_every_row_is_in_exactly_one_shard(rows: int, shards: int) -> None:
    if shards > rows:
        with pytest.raises(CourseError):
            split_rows(rows, shards)
        return
    parts = split_rows(rows, shards)
    assert len(parts) == shards
    assert [parts[0].start, parts[-1].stop] == [0, rows]
    assert all(one.stop == other.start for one, other in itertools.pairwise(parts))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_named_by_its_content() -> None:
    images, labels = pictures(5)
    content = shard_bytes(images, labels)
    assert shard_bytes(images.copy(), labels.copy()) == content
    assert shard_key(content) != shard_key(shard_bytes(images, labels[::-1]))
    arrays = load(content)
    assert np.array_equal(arrays["images"], images)
    assert np.array_equal(arrays["labels"], labels)


@pytest.fixture
def files(tmp_path: Path) -> MnistFiles:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return MnistFiles(*(tmp_path / name for name in NAMES))


def test_split_writes_each_worker_its_rows(files: MnistFiles, tmp_path: Path) -> None:
    paths = split(files, tmp_path / "out", shards=2, rows=5)
    assert [path.name for path in paths] == ["shard_0.safetensors", "shard_1.safetensors"]
    assert [load(path.read_bytes())["labels"].tolist() for path in paths] == [[0, 1, 2], [3, 4]]


def test_more_rows_than_there_are_is_refused(files: MnistFiles, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="7 rows are asked for, 6 are there"):
        split(files, tmp_path / "out", shards=2, rows=7)


def test_the_older_form_holds_its_own_rows_and_no_test_label(files: MnistFiles, tmp_path: Path) -> None:
    paths = split(files, tmp_path / "out", shards=2, tar=True)
    assert paths[0].read_bytes() == split(files, tmp_path / "again", shards=2, tar=True)[0].read_bytes()
    with tarfile.open(paths[1]) as archive:
        assert archive.getnames() == [f"dataset_dl/{name}" for name in ("__init__.py", "images.npy", "labels.npy")]
        labels = archive.extractfile("dataset_dl/labels.npy")
        assert labels is not None
        assert np.load(io.BytesIO(labels.read())).tolist() == [3, 4, 5]


def test_the_older_form_is_a_data_set_where_neither_torchvision_nor_this_package_is(
    files: MnistFiles, tmp_path: Path
) -> None:
    path = split(files, tmp_path / "out", shards=1, tar=True)[0]
    with tarfile.open(path) as archive:
        for member in archive:
            target = tmp_path / "student" / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None
            target.write_bytes(content.read())
    code = """
import sys
sys.modules['torchvision'] = sys.modules['pipeline'] = None
from torch.utils.data import DataLoader
from dataset_dl import Dataset
images, labels = next(iter(DataLoader(Dataset, batch_size=6)))
print(list(images.shape), images.dtype, labels.tolist(), round(images[0, 0, 0, 0].item(), 4))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "student", capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[6, 1, 28, 28] torch.float32 [0, 1, 2, 3, 4, 5] -0.4242", done.stderr


def test_hidden_inputs_follow_from_the_secret_alone() -> None:
    images, labels = pictures(200)
    one, other = hidden_test(images, labels, SECRET), hidden_test(images, labels, SECRET + b"!")
    again = hidden_test(images.copy(), labels.copy(), SECRET)
    assert all(np.array_equal(mine, same) for mine, same in zip(one, again, strict=True))
    assert not np.array_equal(one[1], other[1])
    assert sorted(one[1].tolist()) == sorted(labels.tolist())


def test_no_hidden_input_is_a_public_picture_but_each_is_near_its_own() -> None:
    images, _ = pictures(200)
    order = np.arange(200, dtype=np.int64)
    changed, places = hidden_test(images, order, SECRET)  # type: ignore[arg-type]  # rows in place of labels
    public = {one.tobytes() for one in images}
    assert not [one for one in changed if one.tobytes() in public]
    assert np.abs(changed.astype(float).mean((1, 2)) / images[places].mean((1, 2)) - 1).max() < 0.2
    pairs = zip(changed, images[places], strict=True)
    assert min(np.corrcoef(one.ravel(), own.ravel())[0, 1] for one, own in pairs) > 0.6


def test_the_first_of_a_hidden_test_are_the_same_however_many_are_made() -> None:
    images, labels = pictures(50)
    for whole, part in zip(hidden_test(images, labels, SECRET), hidden_test(images, labels, SECRET, 20), strict=True):
        assert np.array_equal(whole[:20], part)


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(CourseError, match="at least 16"):
        hidden_test(*pictures(2), b"1234")
