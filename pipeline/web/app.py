"""The Flask application of a course: pages, git, and what every answer carries."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from pipeline.backends.ci import Builds
from pipeline.submissions.folder import CourseFolder
from pipeline.web.access import cookie_key, csrf, visitor
from pipeline.web.git_http import git
from pipeline.web.pages import pages
from pipeline.web.webhooks import webhooks

ROOT = Path(__file__).resolve().parents[2] / "templates"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FORM_BYTES = 16 * 1024


def create_app(course: CourseFolder, builds: Builds, *, secure: bool = False) -> Flask:
    """`secure`: the pages are reached by https alone, and so are their cookies."""
    app = Flask(__name__, template_folder=str(ROOT), static_folder=str(ROOT / "web" / "static"))
    app.config.update(
        COURSE=course,
        BUILDS=builds,
        SECRET_KEY=cookie_key(course),
        SESSION_COOKIE_NAME="course",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
    )
    app.jinja_env.autoescape = True  # Flask goes by the ending .html, which ours do not have
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(pages)
    app.register_blueprint(git)
    app.register_blueprint(webhooks)
    app.context_processor(lambda: {"visitor": visitor(), "csrf": csrf, "title": course.course().title or "Course"})
    app.after_request(guard)
    app.register_error_handler(HTTPException, explain)
    return app


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
    return render_template("web/error.html.j2", code=error.code, what=error.description), error.code
