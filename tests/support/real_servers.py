"""The tests' course with a real registry and a real store, as staff would write it."""

from __future__ import annotations

import json
from pathlib import Path

from support.minio_server import MinioServer
from support.registry_server import RegistryServer
from support.runs import COURSE


def course_file(
    folder: Path, registry: RegistryServer | None = None, minio: MinioServer | None = None, **servers: str | int
) -> Path:
    """`[servers]` has what is given; keys are in files of their own, as everywhere."""
    settings = dict(servers)
    if registry is not None:
        settings |= {"registry": registry.address, "registry_auth_file": str(registry.auth_file)}
    if minio is not None:
        given = minio.settings("tests", folder)
        settings |= {"store_endpoint": str(given.store_endpoint), "store_auth_file": str(given.store_auth_file)}
    # JSON's strings and numbers are TOML's too
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    path = folder / "course.toml"
    path.write_text("\n".join([COURSE.read_text(), "[servers]", *lines, ""]))
    return path
