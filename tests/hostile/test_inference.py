"""Inference: a student's process reads no picture but the one that it was asked about, and shows nobody what it saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.hostile import readable_by_students
from support.runs import Finished, submit

from runner import fetching
from runner.errors import ImageError, NoImageError

MARKER = "HIDDEN-51ab"
COURSE = """
name = "hostile"

[[assignments]]
name = "tiny"
least_isolation = "none"
passed_from = 10

[assignments.job]
kind = "infer"
concurrency = [1, 2]
burst = 4

[assignments.data]
kind = "infer"
images = 6

[assignments.limits]
memory_mb = 256
timeout_s = 60
seconds = 200

[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.0
points = 10
"""
# The answer says what opened: 7 where nothing did but its own, which staff read in the private answers.
BURGLAR = """
import http.client, os, re, sys, urllib.parse
from runner import fetching, infer
from runner.connection import connection

SEEN = []
honest = fetching.fetch
def fetch(url, **options):
    SEEN.append(url)
    return honest(url, **options)
fetching.fetch = fetch

def status(method, url):
    parts = urllib.parse.urlsplit(url)
    made = connection(parts, 20)
    made.request(method, parts.path + ("?" + parts.query if parts.query else ""))
    return made.getresponse().status

def doors(url):
    parts = urllib.parse.urlsplit(url)
    root, (_, bucket, *folders, name) = f"{parts.scheme}://{parts.netloc}", parts.path.split("/")
    folder = "/".join([root, bucket, *folders])
    other = re.sub("[0-9a-f]{32}", lambda found: found[0][::-1], url)
    first = SEEN[0].partition("?")[0]
    yield "GET", f"{root}/?{parts.query}"
    yield "GET", f"{root}/{bucket}?list-type=2&prefix=&{parts.query}"
    yield "GET", f"{folder}/?{parts.query}"
    yield "GET", url.partition("?")[0]
    yield "GET", other
    yield "GET", f"{first}?{parts.query}" if first != url.partition("?")[0] else other
    yield "PUT", url
    yield "DELETE", url

def load_model():
    return None

def predict(model, pixels):
    url = SEEN[-1]
    print("MARKER", url, bytes(pixels[14]).hex(), file=sys.stderr)
    answers = [status(*door) for door in doors(url)]
    own = status("GET", url)
    return 7 if own == 200 and min(answers) >= 400 else 1
""".replace("MARKER", MARKER)


@pytest.fixture(scope="module")
def burgled(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    place = tmp_path_factory.mktemp("burglar")
    source, course = place / "submission", place / "course.toml"
    source.mkdir()
    (source / "main.py").write_text(BURGLAR)
    (source / "submission.toml").write_text('kind = "infer"\n')
    course.write_text(COURSE)
    return submit(source, place / "run", "--sandbox", "process", course=course)


def test_no_picture_opens_but_its_own(burgled: Finished) -> None:
    assert burgled.code == 0, burgled.output
    answers = json.loads((burgled.folder / "private" / "predictions" / "answers.json").read_text())
    assert [one["answer"] for one in answers] == [7] * 10, answers


def test_what_it_printed_of_hidden_pictures_reaches_nobody(burgled: Finished) -> None:
    """The ten shown ones apart, which are there to be looked at."""
    shown = {burgled.folder / "logs" / f"digit-{digit}.log" for digit in range(10)}
    assert all(MARKER in path.read_text() for path in shown)
    for path in readable_by_students(burgled.folder):
        content = path.read_bytes()
        assert MARKER.encode() not in content or path in shown, path
        assert b"X-Amz-Signature=" not in content.replace(b"X-Amz-Signature=[masked]", b""), path
    assert not (burgled.folder / "plots" / "mistakes.png").exists(), "hidden pictures are not shown unless staff say so"
    assert Path(burgled.folder / "private").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "224.0.0.1",
    ],
)
def test_addresses_of_metadata_are_never_asked_however_written(host: str) -> None:
    with pytest.raises(ImageError, match="an address that is never asked") as caught:
        fetching.fetch(f"http://{host}/latest/meta-data/")
    assert not isinstance(caught.value, NoImageError)
