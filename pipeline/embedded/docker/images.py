"""From an image's reference to the one image that may run: by its manifest, or as the engine has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
from docker.utils import parse_repository_tag
from pydantic import ValidationError

from pipeline.embedded.contract import DockerImage, read_manifest
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.openwhisk.containers import NoContainerError, NoImageError
from pipeline.errors import CourseError

LOCAL = "localhost"
UNKNOWN = ("not found", "unknown", "does not exist")
"""What a registry says of an image that it does not have; all else of the course's own is no submission's fault."""


@dataclass(frozen=True)
class Found:
    """An image of the engine, by its id, and the folders that it wants volumes for."""

    id: str
    volumes: tuple[str, ...]


@dataclass(frozen=True)
class Registry:
    """A registry, host:port, and the file with `user:password` in one line that opens it."""

    host: str
    auth_file: Path | None

    def credentials(self) -> dict[str, str] | None:
        """Raises CourseError where the file cannot be read."""
        if self.auth_file is None:
            return None
        try:
            user, colon, password = self.auth_file.read_text().strip().partition(":")
        except OSError as error:
            raise CourseError(
                f"{self.auth_file}, the registry's key, cannot be read: {error.strerror}",
                hint="servers.registry_auth_file names a file with user:password in one line",
            ) from error
        if not colon:
            raise CourseError(f"{self.auth_file} has no user:password in one line", hint="write it anew")
        return {"username": user, "password": password}


class Images:
    """Finds images. `image_file` gives the path of a reference's manifest."""

    def __init__(self, engine: Engine, image_file: Callable[[str], Path], registry: Registry | None) -> None:
        self.engine = engine
        self.image_file = image_file
        self.registry = registry
        self.pulling: dict[str, asyncio.Task[None]] = {}

    async def find(self, reference: str, *, managed: bool) -> Found:
        """`managed`: of ours, so that without a manifest there is none. Raises NoImageError, NoContainerError."""
        manifest = self.manifest(reference)
        if manifest is None and managed:
            raise NoImageError(f"there is no image {reference}")
        if manifest is not None:
            # one of ours is known by its id alone: its reference stands for a kind of action
            reference = manifest.id if managed else manifest.reference
        found = await self.inspected(reference)
        if found is None and registry_of(reference):
            await self.pull(reference)
            found = await self.inspected(reference)
        if found is None:
            raise NoImageError(f"there is no image {reference} on this machine")
        if manifest is not None and found.id != manifest.id:
            raise NoImageError(f"{reference} is another image now: {short(found.id)}, not {short(manifest.id)}")
        return found

    def manifest(self, reference: str) -> DockerImage | None:
        try:
            manifest = read_manifest(self.image_file(reference).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise NoImageError(f"there is no image {reference}: its manifest cannot be read") from error
        if not isinstance(manifest, DockerImage):
            raise NoImageError(f"{reference} is an image of the process sandbox, not of docker")
        return manifest

    async def inspected(self, reference: str) -> Found | None:
        try:
            image = await self.engine.do(self.engine.api.inspect_image, reference)
        except docker.errors.ImageNotFound:
            return None
        except ENGINE_ERRORS as error:
            raise NoContainerError(f"the docker engine does not say what {reference} is: {said(error)}") from error
        return Found(str(image["Id"]), tuple((image.get("Config") or {}).get("Volumes") or ()))

    async def pull(self, reference: str) -> None:
        """All who want the same image wait for the same pull."""
        if reference not in self.pulling:
            self.pulling[reference] = asyncio.create_task(self.pulled(reference))
            self.pulling[reference].add_done_callback(lambda _: self.pulling.pop(reference))
        await asyncio.shield(self.pulling[reference])

    async def pulled(self, reference: str) -> None:
        """The key goes to the registry that it is for, and to no other."""
        ours = self.registry is not None and self.registry.host == registry_of(reference)
        try:
            key = self.registry.credentials() if ours and self.registry is not None else None
            failed = await self.engine.do(pull, self.engine.api, reference, key)
        except docker.errors.APIError as error:
            failed = said(error)
        except (*ENGINE_ERRORS, CourseError) as error:
            raise NoContainerError(f"{reference} could not be pulled: {said(error)}") from error
        if failed and ours and not any(sign in failed.lower() for sign in UNKNOWN):
            raise NoContainerError(f"{reference} could not be pulled from the course's registry: {failed}")
        if failed:
            raise NoImageError(f"{reference} could not be pulled: {failed}")


def pull(api: docker.APIClient, reference: str, key: dict[str, str] | None) -> str:
    """What went wrong; the engine says so in the midst of an answer that began well."""
    name, tag = parse_repository_tag(reference)
    steps = api.pull(name, tag=tag or "latest", auth_config=key, stream=True, decode=True)
    return next((str(step["error"]) for step in steps if "error" in step), "")


def registry_of(reference: str) -> str:
    """host:port, or nothing: without a dot or a port the first part is no host."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == LOCAL) else ""


def short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
