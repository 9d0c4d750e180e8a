"""A small convolutional network for 28 x 28 digits."""

from torch import nn


def build_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=5, stride=2, padding=2),  # [rows, 8, 14, 14]
        nn.ReLU(),
        nn.MaxPool2d(2),  # [rows, 8, 7, 7]
        nn.Flatten(),
        nn.Linear(8 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
