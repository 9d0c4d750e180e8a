"""What runs have built, for a server by hand: the image that a student's `wsk action create --docker` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.embedded.contract import DockerImage, ProcessImage, read_manifest
from pipeline.errors import UsageError
from pipeline.run import Run
from pipeline.settings import Sandbox


@dataclass(frozen=True)
class Built:
    """Images, and the settings of the registry that they are pulled from where the engine has them no more."""

    images: tuple[ProcessImage | DockerImage, ...] = ()
    registry: dict[str, Any] = field(default_factory=dict)


def built_by(folders: Sequence[Path], sandbox: Sandbox) -> Built:
    """Raises UsageError for a folder whose run has built none, or one for the other sandbox."""
    runs = [Run.open(folder) for folder in folders]
    images = tuple(image_of(run, sandbox) for run in runs)
    servers = next((run.record.course.servers for run in runs if run.record.course.servers.registry), None)
    if servers is None:
        return Built(images)
    return Built(images, {"registry": servers.registry, "registry_auth_file": servers.registry_auth_file})


def image_of(run: Run, sandbox: Sandbox) -> ProcessImage | DockerImage:
    try:
        image = read_manifest(run.image_file.read_bytes())
    except (OSError, ValidationError):
        raise UsageError(
            f"{run.folder} has no image that can be read",
            hint=f"`pipeline run ... --out {run.folder}` builds one",
        ) from None
    if isinstance(image, DockerImage) != (sandbox is Sandbox.DOCKER):
        raise UsageError(
            f"{run.folder} has an image of the {image.sandbox} sandbox", hint=f"add --sandbox {image.sandbox}"
        )
    return image
