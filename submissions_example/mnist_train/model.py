"""LeNet-5 (LeCun et al., 1998) for 28 x 28 digits, with ReLU and max pooling: 61,706 parameters."""

from torch import Tensor, nn


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
