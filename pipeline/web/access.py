"""Who is asking: a cookie for browsers, a token for git. A student sees the own submissions, staff see all."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from flask import Response, abort, current_app, g, request, session
from werkzeug.exceptions import HTTPException

from pipeline.files import write_text
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import digest, is_token_of, member_of_token, read_members

STAFF = "staff"
WITH = ParamSpec("WITH")


@dataclass(frozen=True)
class Visitor:
    """`name` is a student's or team's; empty for staff."""

    name: str = ""
    is_staff: bool = False

    def may_see(self, student: str) -> bool:
        return self.is_staff or (bool(self.name) and self.name == student)


def cookie_key(course: CourseFolder) -> bytes:
    """Signs cookies; the same after a restart. Made at the first use."""
    path = course.secrets / "cookie-key"
    if not path.exists():
        write_text(path, secrets.token_hex(32), mode=0o600)
    return path.read_bytes()


def staff_file(course: CourseFolder) -> Path:
    return course.secrets / "staff-token-sha256"


def staff_token(course: CourseFolder) -> str | None:
    """A new token for staff where they have none yet; None where they have, since only its hash is kept."""
    if staff_file(course).exists():
        return None
    token = secrets.token_urlsafe(24)
    write_text(staff_file(course), digest(token), mode=0o600)
    return token


def renew_staff_token(course: CourseFolder) -> str:
    """The old one opens nothing any more, nor do the cookies that it gave."""
    staff_file(course).unlink(missing_ok=True)
    token = staff_token(course)
    assert token is not None, "there is none now"
    return token


def visitor_of_token(course: CourseFolder, token: str) -> Visitor | None:
    if hmac.compare_digest(expected_of(course, Visitor(is_staff=True)) or digest(""), digest(token)):
        return Visitor(is_staff=True) if token else None
    member = member_of_token(course, token)
    return Visitor(member.name) if member else None


def expected_of(course: CourseFolder, who: Visitor) -> str:
    """The hash of the token that a visitor has now; empty where they have none."""
    if who.is_staff:
        try:
            return staff_file(course).read_text()
        except FileNotFoundError:
            return ""
    member = read_members(course).get(who.name)
    return member.token_sha256 if member else ""


def visitor() -> Visitor:
    """Of this request, by its cookie: nobody where it has none that we signed, or whose token is another's by now."""
    if "visitor" not in g:
        told = Visitor(str(session.get("name", "")), session.get("staff") is True)
        key = key_of(current_app.config["COURSE"], told)
        is_so = bool(key) and hmac.compare_digest(str(session.get("key", "")).encode(), key.encode())
        g.visitor = told if is_so else Visitor()
    found: Visitor = g.visitor
    return found


def key_of(course: CourseFolder, who: Visitor) -> str:
    """What ends a visitor's cookies when they get a new token."""
    return expected_of(course, who)[:16]


def enter(who: Visitor) -> None:
    """From now on the cookie says who it is; what an earlier visitor left is gone."""
    session.clear()
    session["name"], session["staff"], session["csrf"] = who.name, who.is_staff, secrets.token_urlsafe(16)
    session["key"] = key_of(current_app.config["COURSE"], who)
    session.permanent = True


def csrf() -> str:
    """For the forms of this visitor."""
    return str(session.setdefault("csrf", secrets.token_urlsafe(16)))


def check_csrf() -> None:
    if not hmac.compare_digest(csrf().encode(), request.form.get("csrf", "").encode()):
        abort(403, "this form is not of your session any more; load the page again")


def must_see(entry: Entry) -> None:
    """What another's is does not exist."""
    if not visitor().may_see(entry.student):
        abort(404)


def staff_only(view: Callable[WITH, Any]) -> Callable[WITH, Any]:
    @wraps(view)
    def guarded(*arguments: WITH.args, **options: WITH.kwargs) -> Any:
        if not visitor().is_staff:
            abort(404)
        return view(*arguments, **options)

    return guarded


def git_user(course: CourseFolder) -> str:
    """The member whose name and token git has sent. Raises 401, which makes git ask for them."""
    given = request.authorization
    name = given.username if given and given.type == "basic" and given.username else ""
    token = given.password if given and given.type == "basic" and given.password else ""
    member = read_members(course).get(name)
    if not is_token_of(member, token):
        challenge = {"WWW-Authenticate": 'Basic realm="name and token of this course", charset="UTF-8"'}
        raise Unauthorised(response=Response("name and token, please\n", 401, challenge))
    return name


class Unauthorised(HTTPException):
    code = 401
