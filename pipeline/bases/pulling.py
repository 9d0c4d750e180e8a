"""Images that bases begin with: already there, pulled, or imported from a root file system."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path

import docker.errors
import requests

from pipeline.bases.building import OURS
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.docker.images import Registry, pull, registry_of
from pipeline.errors import CourseError, InfrastructureError
from pipeline.settings import Servers

ROOTFS = f"{OURS}/rootfs"


def course_registry(servers: Servers) -> Registry | None:
    """The registry that a course names: its host, and the file with its key."""
    if servers.registry is None:
        return None
    return Registry(registry_of(f"{servers.registry}/any"), servers.registry_auth_file)


def provide(engine: Engine, reference: str, registry: Registry | None) -> str:
    """The engine's id of an image, pulled where it is not there.

    The registry's key goes to that registry alone. Raises CourseError where there is no such image,
    InfrastructureError where the engine does not answer.
    """
    found = image_id(engine, reference)
    if found:
        return found
    ours = registry is not None and registry.host == registry_of(reference)
    try:
        complaint = pull(engine.api, reference, registry.credentials() if ours and registry else None)
    except docker.errors.APIError as error:
        complaint = said(error)
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine could not pull {reference}: {said(error)}") from error
    found = image_id(engine, reference)
    if complaint or not found:
        raise CourseError(
            f"there is no image {reference} here, and it cannot be pulled: {complaint or 'no reason was given'}",
            hint="name an image that this engine has (`docker images`), or a root file system with --rootfs",
        )
    return found


def image_id(engine: Engine, reference: str) -> str:
    """Empty where the engine has no such image. Raises InfrastructureError."""
    try:
        return str(engine.client.images.get(reference).id)
    except docker.errors.ImageNotFound:
        return ""
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine does not say what {reference} is: {said(error)}") from error


def import_rootfs(engine: Engine, rootfs: Path) -> str:
    """An image of a root file system, a folder or a tar, by its id; the same files give the image that is there.

    Raises CourseError where it cannot be read or is no root file system, InfrastructureError.
    """
    try:
        if not rootfs.is_dir():
            return imported(engine, rootfs)
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(rootfs, ".", filter=without_devices)
            file.flush()
            return imported(engine, Path(file.name))
    except docker.errors.APIError as error:
        hint = "a folder or a tar with Python 3.11 or newer, such as Debian's mmdebstrap makes"
        raise CourseError(f"{rootfs} is no root file system: {said(error)}", hint=hint) from error
    except requests.RequestException as error:
        raise InfrastructureError(f"the docker engine could not import {rootfs}: {said(error)}") from error
    except OSError as error:
        raise CourseError(
            f"{rootfs} cannot be read: {error.strerror or error}", hint="name a folder or a tar"
        ) from None


def without_devices(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Devices and what lies in /proc, /sys and /dev are the container's own."""
    inside = entry.name.removeprefix("./").split("/")
    apart = len(inside) > 1 and inside[0] in {"proc", "sys", "dev"}
    return None if apart or entry.isdev() else entry


def imported(engine: Engine, tar: Path) -> str:
    """Imports a tar that is not known yet by the hash of its bytes. Raises what the engine raises."""
    with tar.open("rb") as file:
        tag = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    known = image_id(engine, f"{ROOTFS}:{tag}")
    if known:
        return known
    answer = engine.api.import_image_from_file(str(tar), repository=ROOTFS, tag=tag)
    found = image_id(engine, f"{ROOTFS}:{tag}")
    if not found:
        raise CourseError(f"the root file system could not be imported: {' '.join(answer.split())[-300:]}")
    return found
