"""The example submissions, as far as the runner alone sees them: they do what their expected.toml counts on."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "submissions_example"
LOAD = (
    "import torch; from runner.model import *; s = load_student_model(); m = s.build(1)\n"
    "x = torch.randn(4, 1, 28, 28)\n"
)


def run(example: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process of its own, from the example's folder, with the example loaded."""
    environment = os.environ | {"RUNNER_CODE": str(example), "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, "-c", LOAD + code], cwd=example, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", ["mnist_train", "shadowing", "cheat_trained_at_home"])
def test_it_builds_and_computes_a_gradient(name: str) -> None:
    done = run(
        EXAMPLES / name,
        "s.loss(s.forward(m, s.augment(x)), torch.arange(4)).backward()\n"
        "print(len(named_arrays(m)), all(p.grad.abs().sum() > 0 for p in m.parameters()))",
    )
    assert done.stdout == "10 True\n", done.stderr


def test_images_are_moved_by_at_most_a_pixel_and_none_is_lost() -> None:
    done = run(
        EXAMPLES / "mnist_train",
        "x = torch.zeros(500, 1, 28, 28); x[:, 0, 10, 20] = 1\n"
        "at = s.augment(x).nonzero()\n"
        "print(len(at), sorted(set(at[:, 2].tolist())), sorted(set(at[:, 3].tolist())))",
    )
    assert done.stdout == "500 [9, 10, 11] [19, 20, 21]\n", done.stderr


def test_what_was_trained_at_home_is_there_whatever_the_seed() -> None:
    done = run(
        EXAMPLES / "cheat_trained_at_home",
        "a, b = named_arrays(m), named_arrays(s.build(2)); print(all(torch.equal(a[n], b[n]) for n in a))",
    )
    assert done.stdout == "True\n", done.stderr


def test_the_crash_is_told_with_the_line_that_expected_toml_names() -> None:
    expected = tomllib.loads((EXAMPLES / "crashes" / "expected.toml").read_text())
    done = run(EXAMPLES / "crashes", "for _ in range(9): s.loss(m(x), torch.arange(4))")
    assert done.returncode == 1
    for words in expected["reason_contains"]:
        assert words in done.stderr


def test_the_lookup_of_public_labels_knows_them_without_training(tmp_path: Path) -> None:
    for path in (EXAMPLES / "cheat_public_labels").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    random = np.random.default_rng(1)
    pixels = np.kron(random.integers(0, 256, (30, 7, 7)), np.ones((4, 4), np.int64)).astype(np.uint8)
    labels = random.integers(0, 10, 30).astype(np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes(8) + labels.tobytes())
    np.save(tmp_path / "x.npy", pixels)
    subprocess.run([sys.executable, tmp_path / "make_lookup.py", tmp_path], check=True, timeout=60)
    done = run(
        tmp_path,
        "x = torch.from_numpy(np.load('x.npy')).float().unsqueeze(1) / 255\n"
        "print(s.predict(m, (x - 0.1307) / 0.3081).tolist())",
    )
    assert done.stdout == f"{labels.tolist()}\n", done.stderr
