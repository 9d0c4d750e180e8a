"""Repositories that lie with a forge (Gitea, GitLab, GitHub): whose they are, by the staff's word alone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import InfrastructureError, UsageError
from pipeline.files import write_json, write_text
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.names import checked_name
from pipeline.text import one_line

# as the Jenkinsfile takes them: no password, no `..`, no leading dash in a path
URL = re.compile(
    r"(?:https?|git|ssh)://(?:[a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9_~][A-Za-z0-9._~-]{0,127}){1,32}"
)
SCP_LIKE = re.compile(r"(?:[\w.-]{1,64}@)?([\w.-]{1,253}):/?([^/:].{0,1000})")
PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
Urls = TypeAdapter(dict[str, dict[str, str]])


@dataclass(frozen=True)
class Remote:
    """`url` is what is fetched, as the staff have written it."""

    student: str
    assignment: str
    url: str


def read_remotes(course: CourseFolder) -> list[Remote]:
    try:
        found = Urls.validate_json(course.remotes_file.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:
        raise InfrastructureError(
            f"{course.remotes_file} cannot be read",
            hint="bring it back from a backup; or remove it and add the students again with --url",
        ) from error
    return [Remote(student, name, url) for student, urls in found.items() for name, url in urls.items()]


def add_remote(course: CourseFolder, student: str, assignment: str, url: str) -> None:
    """Says where a student's or team's work on an assignment lies. Raises UsageError: one repository, one owner."""
    if not URL.fullmatch(url):
        raise UsageError(
            f"{one_line(url)!r} is no address to clone from",
            hint="https://HOST/PATH or ssh://git@HOST/PATH, without a password",
        )
    remotes = read_remotes(course)
    taken = owner_of(remotes, [url])
    if taken is not None and (taken.student, taken.assignment) != (student, assignment):
        raise UsageError(f"{url} is where {taken.student} works on {taken.assignment}", hint="each needs one's own")
    kept: dict[str, dict[str, str]] = {}
    for one in [*remotes, Remote(checked_name(student), checked_name(assignment), url)]:
        kept.setdefault(one.student, {})[one.assignment] = one.url
    write_json(course.remotes_file, kept, mode=0o600)


def owner_of(remotes: Iterable[Remote], urls: Iterable[str]) -> Remote | None:
    """The one whose repository any of these addresses names: a forge tells several of the same repository."""
    keys = {key for url in urls if (key := key_of(url))}
    return next((one for one in remotes if key_of(one.url) in keys), None)


def key_of(url: str) -> tuple[str, str, int, str] | None:
    """What is the same for two spellings of an address. Forges tell no repositories apart by upper and lower case."""
    scp = None if "://" in url else SCP_LIKE.fullmatch(url)
    if scp:
        return ("ssh", scp[1].lower(), PORTS["ssh"], plain_path(scp[2]))
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if scheme not in PORTS or not host:
        return None
    return (scheme, host, port or PORTS[scheme], plain_path(parts.path))


def plain_path(path: str) -> str:
    return path.strip("/").casefold().removesuffix(".git")


def webhook_secret(course: CourseFolder, *, renew: bool = False) -> str:
    """What a forge signs its events with. Made at the first use; a new one makes the old one useless."""
    if renew or not course.webhook_file.exists():
        write_text(course.webhook_file, secrets.token_hex(32), mode=0o600)
    return course.webhook_file.read_text(encoding="utf-8").strip()
