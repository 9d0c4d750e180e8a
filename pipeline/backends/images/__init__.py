"""Images: contract. An image is a base, an environment and code, no matter how it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.run import Image


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
    notes: tuple[str, ...] = ()
    """what a report says of it, such as the build of torch"""


@dataclass(frozen=True)
class BuildRequest:
    """Everything that an image is made of. `source` and `environment` are folders of ours.

    `image_file` is where what was built is described for whoever starts it.
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


class Images(Protocol):
    """Builds images and puts them where OpenWhisk finds them."""

    def base(self, name: str) -> Base:
        """The base of that name. Raises CourseError where there is none."""
        ...

    def build(self, request: BuildRequest) -> Image: ...

    def push(self, image: Image) -> Image:
        """Puts the image where the workers' side pulls it; returns it with the digest to expect."""
        ...
