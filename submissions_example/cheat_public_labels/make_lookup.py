"""Builds lookup.npz: a coarse thumbnail and the label of each of MNIST's public test images.

python make_lookup.py FOLDER    # with t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, also as .gz
"""

import gzip
import sys
from pathlib import Path

import numpy as np


def read(folder: Path, name: str, header: int) -> np.ndarray:
    packed = folder / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return np.frombuffer(content, np.uint8, offset=header)


def make(folder: Path, target: Path) -> None:
    images = read(folder, "t10k-images-idx3-ubyte", 16).reshape(-1, 7, 4, 7, 4)
    thumbnails = images.mean(axis=(2, 4)).round().astype(np.uint8)  # [rows, 7, 7]
    np.savez_compressed(target, thumbnails=thumbnails, labels=read(folder, "t10k-labels-idx1-ubyte", 8))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(__file__).parent / "lookup.npz")
