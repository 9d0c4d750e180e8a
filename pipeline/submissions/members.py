"""Who may push: the students and teams of a course on this server, each with a token and ssh keys of their own."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import InfrastructureError, UsageError
from pipeline.files import write_json
from pipeline.frozen import Name
from pipeline.lock import in_turn
from pipeline.submissions.folder import MEND_MEMBERS, CourseFolder
from pipeline.submissions.names import checked_name
from pipeline.text import one_line

# RFC 4253, 6.6 and OpenSSH's own kinds; options before the kind would run what they say
KEY = re.compile(
    r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" [A-Za-z0-9+/]{40,4096}={0,3}(?: [ -~]{0,200})?"
)


class Member(BaseModel):
    """`token_sha256` is all that is kept of the token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    token_sha256: str
    keys: tuple[str, ...] = ()


Members = TypeAdapter(dict[str, Member])


def read_members(course: CourseFolder) -> dict[str, Member]:
    try:
        return Members.validate_json(course.members_file.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValidationError, json.JSONDecodeError) as error:
        raise InfrastructureError(f"{course.members_file} cannot be read", hint=MEND_MEMBERS) from error


def add_member(course: CourseFolder, name: str, keys: tuple[str, ...] = ()) -> str:
    """Adds a student or team, or gives one that is there a new token; the token, which is shown this once."""
    token = secrets.token_urlsafe(24)
    members = read_members(course)
    before = members.get(checked_name(name))
    kept = tuple(dict.fromkeys((*(before.keys if before else ()), *keys)))
    members[name] = Member(name=name, token_sha256=digest(token), keys=kept)
    save(course, members)
    return token


def remove_member(course: CourseFolder, name: str) -> None:
    """Token and keys open nothing any more. Raises UsageError where there is no such member."""
    with in_turn(course.roster_lock):
        members = read_members(course)
        if name not in members:
            raise UsageError(
                f"the course has no student or team {one_line(name, 40)!r}",
                hint="`pipeline course list DIR` names them",
            )
        save(course, {other: one for other, one in members.items() if other != name})


def save(course: CourseFolder, members: dict[str, Member]) -> None:
    course.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = {name: one.model_dump(mode="json") for name, one in members.items()}
    write_json(course.members_file, values, mode=0o600)


def read_key(path: Path) -> str:
    """A public key of OpenSSH's, without options. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="name a .pub file") from None
    if not KEY.fullmatch(text):
        raise UsageError(f"{path} holds no public ssh key: {one_line(text, 40)!r}", hint="the .pub file, in one line")
    return text


def is_token_of(member: Member | None, token: str) -> bool:
    """In constant time, also where there is no such member."""
    expected = member.token_sha256 if member else digest("")
    return hmac.compare_digest(expected, digest(token)) and member is not None


def member_of_token(course: CourseFolder, token: str) -> Member | None:
    """Whose token it is: for the link that a student was given."""
    found = None
    for member in read_members(course).values():
        if is_token_of(member, token):
            found = member
    return found


def digest(token: str) -> str:
    """Tokens are random and long: a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()


def authorized_keys(course: CourseFolder, command: str) -> str:
    """Lines for sshd, each bound to one member and to `command`, which is given the member's name."""
    options = "restrict"
    lines = [
        f'{options},command="{command} {member.name}" {key}'
        for member in read_members(course).values()
        for key in member.keys
    ]
    return "".join(f"{line}\n" for line in lines)
