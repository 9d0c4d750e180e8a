"""The tests' course with a real registry and a real store, as staff would write it."""

from __future__ import annotations

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
        key = folder / "minio-auth"
        key.write_text(f"{minio.access_key}:{minio.secret_key}\n")
        key.chmod(0o600)
        settings |= {"store_endpoint": f"http://{minio.endpoint}", "store_auth_file": str(key)}
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in settings.items()
    ]
    path = folder / "course.toml"
    path.write_text("\n".join([COURSE.read_text(), "[servers]", *lines, ""]))
    return path
