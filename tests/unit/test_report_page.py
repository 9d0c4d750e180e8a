"""The page: Jenkins' policy, what may be shown to whom, hostile text, and its bytes as they were agreed on."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree
from support.reports import assignment, ended_early, figures, make_run, record

from pipeline.errors import Outcome
from pipeline.figures import Figures
from pipeline.grading import grade
from pipeline.reporting.assembly import assemble
from pipeline.reporting.html import page
from pipeline.reporting.junit import junit
from pipeline.reporting.palette import DARK, DRAWN
from pipeline.reporting.plots import Plot, draw, files
from pipeline.run import Record, Run, StageRecord, Status
from pipeline.settings import Course
from pipeline.stages.report import report

GOLDEN = Path(__file__).parents[1] / "golden" / "report"
FAULTS = (
    "submission.toml:3: unknown key 'epoch' (did you mean 'epochs'?)",
    "requirements.txt:2: `-e .` is not allowed (remove the line)",
    "model.py:17: this is not Python: '(' was never closed",
)
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"x' style='color:red' ]]>"
    " \x1b[8mha:AAAA==\x1b[0m \x00"
)


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def made(folder: Path, of: Record, found: Figures | None = None, logs: dict[str, str] | None = None) -> tuple[Run, str]:
    run = make_run(folder / "run", of, found, logs)
    report(run, None, lambda _: None)  # type: ignore[arg-type]  # the report needs no backend
    return run, run.report_file.read_text()


def hostile(folder: Path) -> tuple[Run, str]:
    request = record().request.model_copy(update={"student": HOSTILE, "source": HOSTILE})
    faults = (HOSTILE, f"{HOSTILE}:3: {HOSTILE} ({HOSTILE})")
    of = ended_early("execute", Outcome.FAILED, HOSTILE, hint=HOSTILE, faults=faults, request=request)
    found = figures(notes=(HOSTILE,), torch=HOSTILE)
    return made(folder, of, found, {"execute.log": HOSTILE, "worker-0.log": HOSTILE, "<b>.log": HOSTILE})


@pytest.mark.parametrize("make", [lambda f: made(f, record(), figures()), hostile], ids=["plain", "hostile"])
def test_the_page_holds_to_jenkins_policy(tmp_path: Path, make: object) -> None:
    run, text = make(tmp_path)  # type: ignore[operator]
    allowed = {"stylesheet": "report.css"}
    for tag, attributes in Elements(text).found:
        assert tag not in {"script", "style", "iframe", "object", "embed", "form", "base"}
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "link":
            assert attributes["href"] == allowed[attributes["rel"] or ""]
        if tag == "img":
            assert re.fullmatch(r"plots/[a-z-]+\.svg", attributes["src"] or "")
            assert (run.folder / (attributes["src"] or "")).is_file()
        if tag == "a":
            assert re.fullmatch(r"(logs/[\w.%-]+|result\.json|junit\.xml|model\.safetensors)", attributes["href"] or "")
    css = (run.folder / "report.css").read_text()
    assert "url(" not in css and "@import" not in css


def test_plots_need_neither_style_nor_script_nor_anything_else(tmp_path: Path) -> None:
    run, _ = made(tmp_path, record(), figures())
    for plot in run.plots.glob("*.svg"):
        for element in ElementTree.parse(plot).getroot().iter():
            assert element.tag.rpartition("}")[2] not in {"style", "script", "image", "foreignObject"}
            assert "style" not in element.attrib
            assert all(value.startswith("#") for name, value in element.attrib.items() if name.endswith("href"))


def test_hostile_text_is_shown_as_text_and_harmless(tmp_path: Path) -> None:
    _, text = hostile(tmp_path)
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "ha:AAAA" not in text


def test_points_of_an_unknown_number_are_no_dash(tmp_path: Path) -> None:
    two = Course(name="ml", assignments=(assignment(), assignment().model_copy(update={"name": "another"})))
    of = ended_early("check", Outcome.FAILED, "does not say which assignment it is for", course=two)
    _, text = made(tmp_path, of)
    assert '<span class="earned">0</span> <span class="most">points</span>' in text


def test_faults_have_place_message_and_hint(tmp_path: Path) -> None:
    _, text = made(tmp_path, ended_early("check", Outcome.FAILED, "3 faults", faults=FAULTS))
    assert "<code>submission.toml:3</code>" in text
    assert "unknown key &#39;epoch&#39;" in text
    assert "did you mean &#39;epochs&#39;?" in text
    assert "<code>-e .</code> is not allowed" in text


def test_the_ends_of_the_students_logs_are_shown_and_nothing_of_the_hidden_ones(tmp_path: Path) -> None:
    of = ended_early("execute", Outcome.LIMIT, "out of memory")
    logs = {
        "execute.log": "first\n" * 500 + "the end of execute",
        "worker-1.log": "MemoryError",
        "fetch.log": "fetched",
    }
    run = make_run(tmp_path / "run", of, None, logs)
    run.hidden_logs.mkdir(parents=True)
    (run.hidden_logs / "predict.log").write_text("label 7 of row 3")
    (run.logs / "link.log").symlink_to(run.hidden_logs / "predict.log")
    report(run, None, lambda _: None)  # type: ignore[arg-type]
    text = run.report_file.read_text()
    assert "the end of execute" in text and "MemoryError" in text
    assert text.count("first\n") < 40 and "fetched" not in text
    assert "label 7" not in text and "predict.log" not in text


def test_a_long_log_costs_a_bounded_page(tmp_path: Path) -> None:
    of = ended_early("execute", Outcome.FAILED, "x" * 10**6, faults=("y" * 10**5,) * 500)
    _, text = made(tmp_path, of, None, {f"worker-{n}.log": "z" * 10**6 for n in range(8)})
    assert len(text) < 300_000
    assert "characters dropped" in text


def test_measured_and_reported_are_told_apart(tmp_path: Path) -> None:
    _, text = made(tmp_path, record(), figures())
    assert re.search(r'communication <abbr class="mark" title="reported">○', text)
    assert re.search(r'peak memory <abbr class="mark" title="measured">●', text)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome.INFRASTRUCTURE, "This is not your fault."),
        (Outcome.COURSE, "This is not your fault."),
        (Outcome.ABORTED, "<code>pipeline resume</code>"),
        (Outcome.LIMIT, "push again"),
        (Outcome.FAILED, "push again"),
    ],
)
def test_every_end_says_what_to_do_next(tmp_path: Path, outcome: Outcome, says: str) -> None:
    _, text = made(tmp_path, ended_early("build", outcome, "it ended"))
    assert says in text
    assert ("It uses up no attempt." in text) is (outcome not in {Outcome.LIMIT, Outcome.FAILED})


def test_plots_are_the_same_each_time_and_dark_in_the_dark() -> None:
    first, again = (files(draw(figures(), assignment())) for _ in range(2))
    assert first == again
    assert {name.removesuffix(".svg").removesuffix("-dark") for name in first} == {
        "loss", "accuracy", "time", "timeline", "cpu", "memory",
    }  # fmt: skip
    for name, content in first.items():
        colours = DRAWN if name.endswith("-dark.svg") else DARK
        assert not [colour for colour in colours if colour.encode() in content]


def test_plots_say_in_words_what_they_show() -> None:
    words = {plot.name: plot.description for plot in draw(figures(), assignment())}
    assert "worker 0: compute 27.5 s, communication 5.0 s, waiting 3.5 s" in words["time"]
    assert "0.9800 at update 40" in words["accuracy"]


def texts(svg: bytes) -> set[str]:
    root: Element = ElementTree.fromstring(svg)
    return {"".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")}


def test_plots_name_what_the_assignment_asks() -> None:
    drawn = files(draw(figures(), assignment()))
    assert "asked: 0.97" in texts(drawn["accuracy.svg"])
    assert "limit: 512 MB" in texts(drawn["memory.svg"])
    assert {"worker 0", "worker 1", "prediction", "cold start"} <= texts(drawn["timeline.svg"])


@pytest.mark.parametrize("name", ["passed", "faults"])
def test_page_and_junit_are_as_agreed_on(tmp_path: Path, name: str) -> None:
    """Golden: write anew by hand after looking at the page, from what the failing test shows in its folder."""
    passed = name == "passed"
    of = record() if passed else ended_early("check", Outcome.FAILED, "3 faults", faults=FAULTS, hint="mend them all")
    found = figures() if passed else Figures()
    given_grade = grade(assignment(), found, of.request.arrived) if passed else None
    result = assemble(of, found, given_grade, StageRecord(name="report", status=Status.DONE, seconds=0.5))
    run = make_run(tmp_path / "run", of)
    plots = [Plot("loss", "Loss", "reported", "Caption.", "Loss from 2 to 0.1.", 432, 221, b"", b"")] if passed else []
    made_now = {f"{name}.html": page(run, result, found, given_grade, plots).encode(), f"{name}.xml": junit(result)}
    for file, content in made_now.items():
        (tmp_path / file).write_bytes(content)
    for file, content in made_now.items():
        assert content.decode() == (GOLDEN / file).read_text(), f"compare {tmp_path / file} with {GOLDEN / file}"
