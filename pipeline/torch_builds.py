"""Builds of torch: for a CPU alone, or for CUDA; and what works with one of them only."""

from __future__ import annotations

from collections.abc import Mapping

TORCH, CPU = "torch", "+cpu"
ON_ONE_BUILD = ("torchvision",)
"""Packages with kernels of their own: of another build they are installed well, and fail when they are imported."""


def note_of(packages: Mapping[str, str]) -> tuple[str, ...]:
    """Which build of torch a base has; PyPI's default one on Linux needs CUDA's packages."""
    if TORCH not in packages:
        return ()
    return (f"torch {packages[TORCH]}, {'CUDA' if is_cuda(packages) else 'CPU'} build",)


def is_cuda(packages: Mapping[str, str]) -> bool:
    return any(name.startswith("nvidia-") for name in packages) or "+cu" in packages.get(TORCH, "")


def of_another_build(torch: str, packages: Mapping[str, str]) -> tuple[str, ...]:
    """Those of the packages that cannot work with this version of torch, which is a CPU build and they are not."""
    if not torch.endswith(CPU):
        return ()
    return tuple(name for name in ON_ONE_BUILD if name in packages and not packages[name].endswith(CPU))
