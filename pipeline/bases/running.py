"""Programs of ours in a container: no network, no privileges, files as archives, so that any engine will do."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

import docker.errors
from docker.types import LogConfig

from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.docker.owner import owner_of
from pipeline.errors import CourseError, InfrastructureError

USER_ID = 10001
MEMORY = 4 * 2**30
SECONDS = 900
OUTPUT = 64 * 2**20
PYTHON = "python3"
"""What the images of submissions start too."""


def run_python(
    engine: Engine, image: str, script: str, *, given: IO[bytes] | None = None, taken: str = ""
) -> tuple[str, IO[bytes] | None]:
    """Runs a script with the image's Python, as an ordinary user.

    `given` is a tar that is laid into `/` before, `taken` a path that is brought back as a tar after.
    Its output and that tar. Raises CourseError where the image has no such Python or the script fails,
    InfrastructureError where the engine does not do it.
    """
    with container(engine, image, script) as name:
        try:
            if given is not None:
                engine.api.put_archive(name, "/", given)
            engine.api.start(name)
            code = engine.api.wait(name, timeout=SECONDS)["StatusCode"]
            text = engine.api.logs(name, stdout=True, stderr=False).decode("utf-8", "replace")
            if code:
                complaint = engine.api.logs(name, stdout=False, stderr=True, tail=3).decode("utf-8", "replace")
                raise CourseError(
                    f"Python in {shown(image)} ended with {code}: {' '.join(complaint.split())[-600:]}",
                    hint="the image needs what it names; nothing is installed into it from elsewhere",
                )
            return text, received(engine, name, taken) if taken else None
        except docker.errors.APIError as error:
            raise not_started(image, error) from error
        except ENGINE_ERRORS as error:
            raise failed(image, error) from error


@contextmanager
def container(engine: Engine, image: str, script: str) -> Iterator[str]:
    """A container that is not started yet, by its id; removed afterwards."""
    try:
        made: str = engine.api.create_container(
            image,
            entrypoint=[PYTHON],
            command=["-I", "-c", script],
            user=f"{USER_ID}:{USER_ID}",
            working_dir="/",
            labels=owner_of(os.getpid(), Path.cwd()).labels("bases"),
            host_config=engine.api.create_host_config(
                network_mode="none",
                mem_limit=MEMORY,
                memswap_limit=MEMORY,
                pids_limit=64,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": str(OUTPUT)}),
            ),
        )["Id"]
    except ENGINE_ERRORS as error:
        raise failed(image, error) from error
    try:
        yield made
    finally:
        with suppress(*ENGINE_ERRORS):
            engine.api.remove_container(made, force=True, v=True)


def received(engine: Engine, name: str, path: str) -> IO[bytes]:
    chunks, _ = engine.api.get_archive(name, path)
    return io.BytesIO(b"".join(chunks))


def not_started(image: str, error: docker.errors.APIError) -> CourseError | InfrastructureError:
    if "executable file not found" in said(error) or "no such file or directory" in said(error):
        return CourseError(
            f"{shown(image)} has no {PYTHON}", hint="begin with an image or a root file system that has Python 3.11"
        )
    return failed(image, error)


def failed(image: str, error: Exception) -> InfrastructureError:
    return InfrastructureError(
        f"the docker engine could not run {shown(image)}: {said(error)}", hint="see `docker info`"
    )


def shown(image: str) -> str:
    """An image's name for people: of an id the part that docker shows."""
    return image[:19] if image.startswith("sha256:") else image


def tar_of(folder: Path, name: str, suffixes: tuple[str, ...]) -> IO[bytes]:
    """The files of a folder with these endings as a tar, below `name`, owned by the user of `run_python`."""

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (entry.isdir() or (entry.isreg() and entry.name.endswith(suffixes))):
            return None
        entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o755, USER_ID, USER_ID, "", ""
        return entry

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            above = tarfile.TarInfo(str(parent))
            above.type, above.mode, above.uid, above.gid = tarfile.DIRTYPE, 0o755, USER_ID, USER_ID
            archive.addfile(above)
        archive.add(folder, name, filter=wanted)
    made.seek(0)
    return made
