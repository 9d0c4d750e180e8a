"""What an image's Python is and which packages it has, asked in a container; kept by the image's id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import ValidationError

from pipeline.bases.running import run_python, shown
from pipeline.bases.target import python_platform
from pipeline.embedded.contract import Message
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.errors import CourseError, InfrastructureError
from pipeline.files import write_json

OLDEST = (3, 11)
KEPT_HEADERS = ("Metadata-Version", "Name", "Version", "Requires-Python", "Requires-Dist", "Provides-Extra")
ASK = """
import importlib.metadata, json, platform, sys, sysconfig
site = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
site = site or [sysconfig.get_path("purelib")]
found = {}
for one in importlib.metadata.distributions(path=site):
    found.setdefault(one.metadata["Name"], [one.version, one.read_text("METADATA") or ""])
print(json.dumps({
    "python_version": platform.python_version(), "machine": platform.machine(), "libc": platform.libc_ver(),
    "site": site, "packages": found,
}))
"""


class Inside(Message):
    """An image's Python. `packages` are normalised name -> version, `metadata` what a resolver needs to know of each.

    `site` are the folders that hold them, `platform` is uv's name for what wheels must be made for.
    """

    python_version: str
    platform: str
    site: tuple[str, ...]
    packages: dict[str, str]
    metadata: dict[str, str]


def inside(engine: Engine, image: str, cache: Path) -> Inside:
    """Asks the image, once. Raises CourseError for an image that nothing can be built on, InfrastructureError."""
    described = inspected(engine, image)
    if described["Config"].get("OnBuild"):
        raise CourseError(
            f"{shown(image)} has ONBUILD instructions, which would run while a student's image is built",
            hint="make an image without them",
        )
    kept = cache / "bases" / "inside" / f"{described['Id'].removeprefix('sha256:')}.json"
    try:
        return Inside.model_validate_json(kept.read_bytes())
    except (FileNotFoundError, ValidationError):
        found = asked(engine, image)
        write_json(kept, found.model_dump(mode="json"))
        return found


def inspected(engine: Engine, image: str) -> dict[str, Any]:
    try:
        return engine.client.images.get(image).attrs
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine has no {shown(image)}: {said(error)}") from error


def asked(engine: Engine, image: str) -> Inside:
    text, _ = run_python(engine, image, ASK)
    told = json.loads(text)
    version = told["python_version"].rstrip("+")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise CourseError(f"{shown(image)} has Python {version}", hint="3.11 or newer is needed")
    packages = {canonicalize_name(name): found for name, found in told["packages"].items()}
    return Inside(
        python_version=version,
        platform=python_platform(told["machine"], *told["libc"]),
        site=tuple(told["site"]),
        packages={name: version for name, (version, _) in sorted(packages.items())},
        metadata={name: headers(text) for name, (_, text) in sorted(packages.items())},
    )


def headers(metadata: str) -> str:
    """The part of METADATA that a resolver reads."""
    lines = metadata.partition("\n\n")[0].splitlines()
    return "".join(f"{line}\n" for line in lines if line.partition(":")[0] in KEPT_HEADERS)
