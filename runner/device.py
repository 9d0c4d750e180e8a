"""The device that tensors live on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import DeviceError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Turns `cpu`, `cuda` or `cuda:N` into a device that is really here. Raises DeviceError that says why not."""
    import torch

    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind != "cuda":
        raise DeviceError(f"Wrong parameters: device must be `cpu` or `cuda`, not `{name[:40]}`")
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        raise DeviceError(
            f"device {name}: torch {torch.__version__} has no CUDA; use `cpu`, or an image with a CUDA build"
        )
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= found:
        raise DeviceError(f"device {name}: {found or 'no'} GPU can be seen here; use `cpu`, or a machine with one")
    return torch.device(name)
