"""The pages: the course's queue for staff, the own submissions for a student, one submission with its live log."""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    send_file,
    session,
    url_for,
)

from pipeline.errors import PipelineError
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.follow import ConsoleTail
from pipeline.submissions.names import ID
from pipeline.submissions.results import result_of
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import AGAIN, drop, retry, stop_build
from pipeline.web import views
from pipeline.web.access import STAFF, check_csrf, enter, must_see, staff_only, visitor, visitor_of_token
from pipeline.web.bounds import Bound

pages = Blueprint("pages", __name__)

STYLESHEET = Path(__file__).resolve().parents[2] / "templates" / "report.css"
EVENTS_S = 600.0
"""After so long a stream of events ends; a browser opens the next by itself, at the line where it stood."""
LOOK_S = 0.5
CHANGED_S = 3.0
"""As often as a page without script loads itself: many look on while a queue changes all the time."""
AGAIN_MS = 5000
OVER_SHOWN = 200
LINE = re.compile(r"[0-9]{1,9}")
REPORT_POLICY = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self'"


def course() -> CourseFolder:
    found: CourseFolder = current_app.config["COURSE"]
    return found


def spool() -> Spool:
    found: Spool = current_app.config["SPOOL"]
    return found


def submission(text: str) -> Entry:
    """The entry that the address names, if the visitor may see it."""
    entry = spool().find(text) if ID.fullmatch(text) else None
    if entry is None:
        abort(404)
    must_see(entry)
    return entry


@pages.get("/")
def home() -> Any:
    who = visitor()
    if who.is_staff:
        return redirect(url_for("pages.queue"))
    return redirect(url_for("pages.student", name=who.name) if who.name else url_for("pages.login"))


@pages.get("/report.css")
def stylesheet() -> Response:
    """The pages look as the reports do."""
    return send_file(STYLESHEET, mimetype="text/css")


@pages.get("/login")
def login() -> str:
    return render_template("web/login.html.j2", refused=False)


@pages.post("/login")
def log_in() -> Any:
    check_csrf()
    who = visitor_of_token(course(), request.form.get("token", ""))
    if who is None:
        return render_template("web/login.html.j2", refused=True), 403
    enter(who)
    return redirect(url_for("pages.home"))


@pages.get("/enter/<token>")
def follow_link(token: str) -> Any:
    """The link that a student was given; the address with the token is gone from the browser at once."""
    who = visitor_of_token(course(), token)
    if who is None:
        abort(404)
    enter(who)
    return redirect(url_for("pages.home"))


@pages.post("/logout")
def log_out() -> Any:
    check_csrf()
    session.clear()
    return redirect(url_for("pages.login"))


@pages.get("/course")
@staff_only
def queue() -> str:
    active, over = spool().active(), spool().over()
    return render_template(
        "web/course.html.j2",
        parked=views.rows([one for one in active if one.state is State.PARKED], active),
        running=views.rows([one for one in active if one.state is State.STARTED], active),
        waiting=views.rows([one for one in active if one.state is State.WAITING], active)[::-1],
        over=views.rows(over[-OVER_SHOWN:], active),
        over_in_all=len(over),
        faults=[error.message for error in spool().faults.values()],
    )


@pages.get("/students/<name>")
def student(name: str) -> str:
    if not visitor().may_see(name):
        abort(404)
    active = spool().active()
    own = [one for one in [*active, *spool().over()] if one.student == name]
    standings = views.standings(course(), name, own)
    return render_template("web/student.html.j2", name=name, standings=standings, rows=views.rows(own, active))


@pages.get("/submissions/<text>")
def show(text: str) -> str:
    entry = submission(text)
    result = result_of(course(), entry)
    return render_template(
        "web/submission.html.j2",
        entry=entry,
        row=views.rows([entry], spool().active())[0],
        stages=views.stages_of(course(), entry, result),
        result=result,
        left_out=views.left_out(course(), entry),
        elsewhere=views.elsewhere(entry),
        log=views.log_of(course(), entry),
        can_be_tried_again=entry.state in AGAIN,
        has_report=views.report_file(course(), entry, "report.html") is not None,
    )


@pages.get("/submissions/<text>/log")
def log(text: str) -> Response:
    lines = views.log_of(course(), submission(text))
    return Response("".join(f"{line}\n" for line in lines), mimetype="text/plain")


@pages.get("/submissions/<text>/events")
def events(text: str) -> Response:
    """New lines of the log as server-sent events; the last one says that it is over."""
    entry, after = submission(text), request.headers.get("Last-Event-ID", "")
    live: Bound = current_app.config["LIVE_LOGS"]
    who = visitor().name or STAFF
    stays = live.take(who)
    lines = lines_as_events(
        course(), spool(), entry.id, int(after) if LINE.fullmatch(after) else 0, most_s=EVENTS_S if stays else 0.0
    )
    response = Response(
        lines, mimetype="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    if stays:
        response.call_on_close(partial(live.give_back, who))
    return response


def lines_as_events(
    course: CourseFolder, spool: Spool, submission: str, after: int, *, most_s: float = EVENTS_S
) -> Iterator[str]:
    """With `most_s` of 0 what is there now: the browser asks again in a while.

    `changed` says that the rest of the page is old: stages, place, state.
    """
    tail, number, begun = ConsoleTail(course.console(submission)), 0, time.monotonic()
    shown, not_before = views.traces(course, submission), begun
    while True:
        state = spool.get(submission).state
        over = state.is_over or state is State.PARKED
        for line in tail.lines(last=over):
            number += 1
            if number > after:
                yield f"id: {number}\ndata: {line}\n\n"
        if over:
            yield f"id: {number}\nevent: over\ndata: {state.value}\n\n"
            return
        if time.monotonic() >= begun + most_s:
            yield f"retry: {AGAIN_MS}\n\n"
            return
        now = views.traces(course, submission)
        if now != shown and time.monotonic() >= not_before:
            shown, not_before = now, time.monotonic() + CHANGED_S
            yield f"event: changed\ndata: {state.value}\n\n"
        else:
            yield ": still there\n\n"
        time.sleep(LOOK_S)


@pages.get("/submissions/<text>/report/<path:name>")
def report(text: str, name: str) -> Response:
    path = views.report_file(course(), submission(text), name)
    if path is None:
        abort(404)
    mimetype = "text/plain" if path.suffix == ".log" else mimetypes.guess_type(path.name)[0]
    response = send_file(path, mimetype=mimetype or "application/octet-stream")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@pages.post("/submissions/<text>/retry")
@staff_only
def try_again(text: str) -> Any:
    check_csrf()
    return changed(text, lambda entry: retry(spool(), entry.id))


@pages.post("/submissions/<text>/cancel")
@staff_only
def cancel(text: str) -> Any:
    check_csrf()

    def end(entry: Entry) -> None:
        if drop(spool(), entry.id, "the staff have ended it").state is State.STARTED:
            stop_build(current_app.config["BUILDS"], entry)

    return changed(text, end)


def changed(text: str, change: Any) -> Any:
    entry = submission(text)
    try:
        change(entry)
    except PipelineError as error:
        abort(409, "; ".join(filter(None, (error.message, error.hint))))
    return redirect(url_for("pages.show", text=entry.id))
