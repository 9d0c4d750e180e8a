"""Trains the model on this machine and writes weights.npz, in half precision: 124 kB.

python train_at_home.py FOLDER    # with train-images-idx3-ubyte and train-labels-idx1-ubyte
"""

import sys
from pathlib import Path

import numpy as np
import torch
from model import WEIGHTS, augment, lenet5
from torch import nn

BATCH, EPOCHS, RATE, MOMENTUM = 64, 3, 0.02, 0.9


def main(folder: Path) -> None:
    torch.manual_seed(1)
    pixels = np.frombuffer((folder / "train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    images = (torch.from_numpy(pixels.copy()).view(-1, 1, 28, 28) / 255 - 0.1307) / 0.3081
    classes = np.frombuffer((folder / "train-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    labels = torch.from_numpy(classes.astype(np.int64))
    model = lenet5()
    optimiser = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    for epoch in range(EPOCHS):
        optimiser.param_groups[0]["lr"] = RATE / 2**epoch
        for rows in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(augment(images[rows])), labels[rows]).backward()
            optimiser.step()
    np.savez(WEIGHTS, **{name: values.numpy().astype(np.float16) for name, values in model.state_dict().items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
