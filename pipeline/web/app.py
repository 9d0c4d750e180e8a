"""The Flask application of a course: pages, git, and what every answer carries."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, render_template, request
from werkzeug.exceptions import HTTPException

from pipeline.backends.ci import Builds
from pipeline.errors import PipelineError
from pipeline.files import machine_fault
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.web.access import cookie_key, csrf, visitor
from pipeline.web.bounds import Bound
from pipeline.web.git_http import git
from pipeline.web.pages import pages
from pipeline.web.webhooks import webhooks

ROOT = Path(__file__).resolve().parents[2] / "templates"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FORM_BYTES = 16 * 1024
FOLLOWED, LIVE_LOGS = 128, 64
GIT_OF_EACH = 16
"""Pushes and fetches of one student at a time, which hold a thread each for as long as their bodies take."""
THREADS = FOLLOWED + LIVE_LOGS + 64
"""Each pusher who follows holds one, and so does each page with a live log; the rest is for all else."""


class Pages(Flask):
    def log_exception(self, exc_info: Any) -> None:
        """Without the address: it may hold a student's token."""
        self.logger.error("a fault in %s", request.endpoint, exc_info=exc_info)


def create_app(course: CourseFolder, builds: Builds, *, secure: bool = False) -> Flask:
    """`secure`: the pages are reached by https alone, and so are their cookies."""
    app = Pages(__name__, template_folder=str(ROOT), static_folder=str(ROOT / "web" / "static"))
    app.config.update(
        COURSE=course,
        BUILDS=builds,
        SPOOL=Spool(course.spool),
        FOLLOWED=Bound(FOLLOWED, each=8),
        GIT=Bound(THREADS, each=GIT_OF_EACH),
        LIVE_LOGS=Bound(LIVE_LOGS, each=6),
        SECRET_KEY=cookie_key(course),
        SESSION_COOKIE_NAME="course",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        MAX_CONTENT_LENGTH=FORM_BYTES,
    )
    app.jinja_env.autoescape = True  # Flask goes by the ending .html, which ours do not have
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(pages)
    app.register_blueprint(git)
    app.register_blueprint(webhooks)
    app.context_processor(lambda: {"visitor": visitor(), "csrf": csrf, "title": title(course)})
    app.after_request(guard)
    app.register_error_handler(HTTPException, explain)
    app.register_error_handler(PipelineError, lambda error: plain(error.message))
    app.register_error_handler(OSError, lambda error: plain(machine_fault(error).message))
    return app


def title(course: CourseFolder) -> str:
    """Pages are there also while the settings cannot be read."""
    try:
        return course.course().title or "Course"
    except PipelineError:
        return "Course"


def plain(what: str) -> Response:
    """For staff, who can mend it; no page is put together of what is broken."""
    current_app.logger.error("%s: %s", request.endpoint, what)
    return Response("The course cannot be shown now: its staff must look at the server.\n", 503, mimetype="text/plain")


def guard(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static/") else "no-store")
    return response


def explain(error: HTTPException) -> Any:
    """A page for a person, a line for git and forges."""
    if error.response is not None:
        return error.response
    if request.path.startswith(("/git/", "/webhooks/")):
        return Response(f"{error.description}\n", error.code, mimetype="text/plain")
    try:
        return render_template("web/error.html.j2", code=error.code, what=error.description), error.code
    except PipelineError as fault:  # who is asking cannot be said
        return plain(fault.message)
