"""Pushes that Gitea, GitLab and GitHub tell of: signed, matched to the roster, spooled once, never fetched as told."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.forges import NEW, NOTHING, OLD, PAYLOADS, URL, Site, gitea, github, gitlab
from support.submissions import ScriptedBuilds

from pipeline.backends.ci.local import LocalBuilds
from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.entry import State
from pipeline.submissions.members import remove_member
from pipeline.submissions.staff import add_student
from pipeline.web import webhooks

every_forge = pytest.mark.parametrize("forge", sorted(PAYLOADS))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@every_forge
def test_a_signed_push_is_spooled_once_however_often_it_is_sent(forge: str, site: Site) -> None:
    before = datetime.now(UTC)
    answer = site.send(forge, PAYLOADS[forge]())
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    (entry,) = site.spooled()
    assert (entry.student, entry.assignment, entry.old, entry.new) == ("ada", "mnist-train", OLD, NEW)
    assert (entry.repository, entry.state) == (URL, State.WAITING)
    assert before <= entry.arrived <= datetime.now(UTC)
    assert entry.short in answer.get_data(as_text=True)
    assert "known already" in site.send(forge, PAYLOADS[forge]()).get_data(as_text=True)
    assert site.spooled() == [entry]


@every_forge
def test_what_is_not_signed_with_the_courses_secret_is_refused(forge: str, site: Site) -> None:
    assert site.send(forge, PAYLOADS[forge](), secret="guessed").status_code == 403
    assert site.send(forge, PAYLOADS[forge](), secret="").status_code == 403
    body = json.dumps(PAYLOADS[forge]()).encode()
    assert site.post(forge, body, {"Content-Type": "application/json"}).status_code == 403
    if forge != "gitlab":  # GitLab signs nothing, it shows the secret
        other = json.dumps(PAYLOADS[forge](after="3" * 40)).encode()
        assert site.post(forge, other, site.headers(forge, body)).status_code == 403
        odd = site.headers(forge, body) | {"X-Hub-Signature-256": "sha256=\xfe", "X-Gitea-Signature": "\xfe"}
        assert site.post(forge, body, odd).status_code == 403
    assert site.spooled() == []


def test_without_a_secret_there_is_no_webhook(site: Site) -> None:
    site.course.webhook_file.unlink()
    assert site.send("github", github()).status_code == 404
    assert site.send("github", github(), secret="").status_code == 404


def test_signatures_are_compared_in_constant_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, expected: bytes) -> bool:
        compared.append(given)
        return given == expected

    monkeypatch.setattr(webhooks.hmac, "compare_digest", compare)
    for forge, payload in PAYLOADS.items():
        site.send(forge, payload())
    assert len(compared) == 3


def test_what_is_fetched_is_the_rosters_address_not_the_events(site: Site) -> None:
    """An event names several addresses of a repository; one that matches decides whose it is, and no more."""
    told = gitea()
    told["repository"]["clone_url"] = "https://elsewhere.example/evil.git"
    told["repository"]["ssh_url"] = "ssh://git@git.example:22/Ada/Mnist"
    assert "not on the roster" in site.send("gitea", told).get_data(as_text=True)
    add_student(site.course, "bob", (), {"mnist-train": "ssh://git@git.example/bob/mnist"})
    told["repository"]["ssh_url"] = "git@git.example:Bob/MNIST.git"
    site.send("gitea", told)
    (entry,) = site.spooled()
    assert (entry.student, entry.repository) == ("bob", "ssh://git@git.example/bob/mnist")
    assert LocalBuilds(site.course).arguments(entry)[:2] == ["run", "ssh://git@git.example/bob/mnist"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ref": "refs/heads/draft"}, "only main is graded: `git push origin draft:main` submits it"),
        ({"ref": "refs/tags/v1", "after": NOTHING}, "only main is graded"),
        ({"after": NOTHING, "deleted": True}, "was deleted, and what was submitted stays"),
        ({"repository": {"clone_url": "https://git.example/eve/mnist.git"}}, "not on the roster"),
        ({"repository": {"clone_url": "ext::sh -c id"}}, "not on the roster"),
        ({"repository": {"clone_url": "https://[::1"}}, "not on the roster"),
    ],
)
def test_what_is_not_graded_is_answered_politely(values: dict[str, Any], says: str, site: Site) -> None:
    answer = site.send("github", github(**values))
    assert answer.status_code == 200
    assert says in answer.get_data(as_text=True)
    assert site.spooled() == []


def test_what_a_student_who_was_taken_out_pushes_is_not_graded(site: Site) -> None:
    """As with git over http and ssh; who is let in again pushes as before."""
    remove_member(site.course, "ada")
    assert "not on the roster" in site.send("github", github()).get_data(as_text=True)
    assert site.spooled() == []
    add_student(site.course, "ada")
    site.send("github", github())
    assert len(site.spooled()) == 1


@every_forge
def test_other_events_are_answered_politely(forge: str, site: Site) -> None:
    assert site.send(forge, {"zen": "Keep it logically awesome."}, event="ping").status_code == 200
    assert site.spooled() == []


def test_a_rewritten_branch_and_a_late_push_are_refused_as_the_hooks_refuse_them(site: Site) -> None:
    site.send("github", github(forced=True))
    site.send("github", github(forced=True, before=NOTHING, after="4" * 40))
    text = site.course.course_file.read_text()
    site.course.course_file.write_text(re.sub(r"(?m)^deadline = .*$", "deadline = 2020-01-01T00:00:00Z", text))
    site.send("github", github(after="5" * 40))
    found = {one.new: one for one in site.spooled()}
    assert found[NEW].state is State.REFUSED
    assert "force-push" in found[NEW].reason
    assert found["4" * 40].state is State.WAITING, "the first push of a branch rewrites nothing"
    assert found["5" * 40].state is State.REFUSED
    assert "too late" in found["5" * 40].reason
    with site.course.course_file.open("a") as file:
        file.write('\n[[assignments.extensions]]\nstudent = "ada"\ndeadline = 2099-01-01T00:00:00Z\n')
    site.send("github", github(after="6" * 40))
    assert {one.new: one.state for one in site.spooled()}["6" * 40] is State.WAITING


def test_a_push_counts_from_when_github_received_it(site: Site) -> None:
    """We may have been away; a time that cannot be is not believed."""
    now = datetime.now(UTC).replace(microsecond=0)
    for number, seconds in enumerate([now.timestamp() - 3600, now.timestamp() + 3600, 0, 10**30]):
        told = github(after=f"{number + 3}" * 40)
        told["repository"]["pushed_at"] = int(seconds)
        assert site.send("github", told).status_code == 200
    first, *others = sorted(site.spooled(), key=lambda one: one.new)
    assert first.arrived == now - timedelta(hours=1)
    assert all(one.arrived >= now for one in others)


@pytest.mark.parametrize("order", ["01234", "43210", "12340"])
@every_forge
def test_pushes_keep_their_order_within_a_second_and_however_their_events_come(
    forge: str, order: str, site: Site
) -> None:
    """Else an older push would be graded in place of a newer one, or count as the last."""
    commits = [f"{number}" * 40 for number in range(1, 7)]
    for at in map(int, order):
        told = PAYLOADS[forge](before=commits[at], after=commits[at + 1])
        if forge == "github":
            told["repository"]["pushed_at"] = int(datetime.now(UTC).timestamp()) - 60
        site.send(forge, told)
    assert [one.new for one in site.spooled()] == commits[1:]
    Dispatcher(site.course, site.spool, builds := ScriptedBuilds(), Settings(1)).step()
    assert [site.spool.get(one).new for one in builds.started] == commits[-1:]


def test_events_that_come_at_the_same_time_keep_their_order(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes while all before it are being taken, and finds the push that it builds on all the same."""
    commits, line, others = [f"{number}" * 40 for number in range(1, 7)], webhooks.in_line, []

    def told(at: int) -> dict[str, Any]:
        event = github(before=commits[at], after=commits[at + 1])
        event["repository"]["pushed_at"] = int(datetime.now(UTC).timestamp()) - 60
        return event

    def slowly(*arguments: Any) -> datetime:
        found = line(*arguments)
        if len(others) < len(commits) - 2:
            others.append(threading.Thread(target=site.other().send, args=("github", told(len(others) + 1))))
            others[-1].start()
            others[-1].join(0.3)
        return found

    monkeypatch.setattr(webhooks, "in_line", slowly)
    site.send("github", told(0))
    for one in others:
        one.join()
    assert [one.new for one in site.spooled()] == commits[1:]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (b'{"ref": "refs/heads/main", "repository": 7}', 400),
        (json.dumps(github(before="--upload-pack=x")).encode(), 400),
        (json.dumps(github(ref="refs/heads/" + "x" * 300)).encode(), 400),
        (b" " * (webhooks.MOST_BYTES + 1), 413),
    ],
    ids=["empty", "cut", "list", "deep", "no repository", "no commit", "long", "large"],
)
def test_bodies_that_are_no_push_are_refused_in_a_line(body: bytes, status: int, site: Site) -> None:
    answer = site.post("github", body, site.headers("github", body))
    assert (answer.status_code, answer.mimetype) == (status, "text/plain")
    form = site.headers("github", b"payload=") | {"Content-Type": "application/x-www-form-urlencoded"}
    assert site.post("github", b"payload=", form).status_code == 415
    assert site.spooled() == []


def test_the_dispatcher_takes_it_from_there(site: Site) -> None:
    site.send("gitlab", gitlab())
    builds = ScriptedBuilds()
    dispatcher = Dispatcher(site.course, site.spool, builds, Settings(1))
    dispatcher.step()
    builds.finish_all()
    dispatcher.step()
    assert [one.state for one in site.spooled()] == [State.GRADED]
