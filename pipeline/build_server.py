"""`jenkins.toml` in a course's folder: which Jenkins builds what is pushed, and what its jobs are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from pipeline.course import iso
from pipeline.errors import CourseError, Fault, InfrastructureError
from pipeline.frozen import Frozen
from pipeline.text_files import TomlFile, read_toml
from pipeline.validation import faults_of

FILE = "jenkins.toml"
PATHS = ("token_file", "ca_file")


def web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no address such as https://jenkins.example/, without user and password")
    return text.rstrip("/") + "/"


User = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")]
Repository = Annotated[str, Field(pattern=r"^(?:(?:https?|ssh|git)://[^\s'\"\\]+|/[^\s'\"\\]+)$")]


class Script(Frozen):
    """Where Jenkins reads the Jenkinsfile: the staff's repository, never a student's."""

    repository: Repository
    branch: str = Field(default="main", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$")
    path: str = Field(default="Jenkinsfile", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$")
    credentials: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,128}$", description="an id in Jenkins' store")


class BuildServer(Frozen):
    """`user` is the bot whose API token stands in `token_file`; it owns the course's folder of jobs."""

    url: Annotated[str, AfterValidator(web_address)]
    user: User
    token_file: Path
    ca_file: Path | None = Field(default=None, description="the certificate authority, where it is the campus' own")
    timeout_s: float = Field(default=20, gt=0, le=600)
    script: Script
    staff: tuple[User, ...] = Field(default=(), description="users who see and build all jobs of the course")
    repositories: str | None = Field(
        default=None,
        pattern=r"^(?:https?|ssh|git)://[^\s'\"\\]+$",
        description="where agents clone: URL/STUDENT/ASSIGNMENT.git; none: the paths on this server",
    )
    keep_builds: int = Field(default=50, ge=1, le=10_000)

    def token(self) -> str:
        """Raises InfrastructureError where the file cannot be read or holds no single line."""
        try:
            text = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InfrastructureError(
                f"{self.token_file} cannot be read: {error}", hint="token_file names it"
            ) from None
        if not text or len(text.split()) != 1:
            raise InfrastructureError(f"{self.token_file} holds no token in one line", hint="an API token of the bot")
        return text


def read_build_server(folder: Path) -> BuildServer | None:
    """The settings in `folder`, None where it has no such file. Raises CourseError with every fault."""
    file = folder / FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InfrastructureError(f"{file} cannot be read: {error.strerror}", hint="let this user read it") from None
    document = read_toml(content, str(file))
    if isinstance(document, Fault):
        raise CourseError(f"{file} cannot be read", faults=[document])
    return validated(file, document)


def validated(file: Path, document: TomlFile) -> BuildServer:
    """Paths are against the file's folder."""
    values = json.loads(json.dumps(document.values, default=iso))
    for key in PATHS:
        if isinstance(values.get(key), str):
            values[key] = str(file.resolve().parent / Path(values[key]).expanduser())

    def locate(location: Sequence[str | int]) -> tuple[str, int | None]:
        return str(file), document.line(location)

    try:
        return BuildServer.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        faults = faults_of(error, BuildServer, locate)
        raise CourseError(
            f"{file}: {len(faults)} to mend", hint="docs/jenkins.md names every key", faults=faults
        ) from None
