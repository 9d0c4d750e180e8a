"""The example's LeNet-5 without its augmentation: every contender trains on the same images."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "submissions_example" / "mnist_train" / "model.py"

build_model = runpy.run_path(str(EXAMPLE))["build_model"]
