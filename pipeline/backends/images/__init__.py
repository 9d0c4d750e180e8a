"""Images: contract. An image is a base, an environment and code, no matter how it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.bases.target import marker_environment
from pipeline.embedded.contract import DockerImage, ProcessImage
from pipeline.run import Image

ENVIRONMENT, RUNNER, CODE = "/environment", "/opt/runner", "/code"
"""Where the parts of an image lie in a container."""


@dataclass(frozen=True)
class Base:
    """What a course builds on: its interpreter, its platform, and the packages that it provides."""

    name: str
    digest: str
    python_version: str
    packages: dict[str, str]
    """normalised name -> version, the local part included (torch -> 2.13.0+cpu)"""
    metadata: dict[str, str] = field(default_factory=dict)
    """normalised name -> the text of METADATA, what a resolver needs to know of the packages"""
    folder: Path | None = None
    """process sandbox: a folder of these packages that is put on PYTHONPATH read-only, made by the first build"""
    image: str = ""
    """docker: what FROM names, an image id or name@digest"""
    site: tuple[str, ...] = ()
    """docker: the folders of its packages, which are found before an environment's"""
    platform: str = ""
    """docker: uv's name of what wheels are for; empty: this machine's own"""
    notes: tuple[str, ...] = ()
    """what a report says of it, such as the build of torch"""

    @property
    def markers(self) -> dict[str, str]:
        """What markers of requirements are judged by, where it differs from this machine's own Python."""
        return marker_environment(self.python_version, self.platform)


@dataclass(frozen=True)
class BuildRequest:
    """Everything that an image is made of. `source` and `environment` are folders of ours.

    `image_file` is where what was built is described for whoever starts it; `labels` say what it was built from, and
    nothing of who wrote it; `build_log` keeps what the builder said.
    """

    run: str
    reference: str
    tree_sha256: str
    image_file: Path
    base: Base
    source: Path
    environment: Path | None
    lock_sha256: str
    dockerfile: str
    environment_bytes: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    build_log: Path | None = None


class Images(Protocol):
    """Builds images and puts them where OpenWhisk finds them."""

    def base(self, name: str) -> Base:
        """The base of that name. Raises CourseError where there is none."""
        ...

    def build(self, request: BuildRequest) -> Image: ...

    def push(self, image: Image, image_file: Path, /) -> Image:
        """Puts the image where the workers' side pulls it; returns it with the digest to expect, kept in its file too.

        What it returns is the image itself where there is nothing to push.
        """
        ...

    def runtime(self, reference: str) -> ProcessImage | DockerImage:
        """What code actions run in, under that reference: base and runner, and no code, which comes at /init."""
        ...
