"""junit.xml: one case a check and a stage, the student's failures apart from errors, valid whatever a student wrote."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from support.reports import ended_early, figures, make_run, record

from pipeline.errors import Outcome
from pipeline.figures import Figures
from pipeline.reporting.assembly import assemble
from pipeline.reporting.junit import junit
from pipeline.run import Record, StageRecord, Status
from pipeline.stages.report import grade_of, report

REPORT = StageRecord(name="report", status=Status.DONE, seconds=0.5)
HOSTILE = "]]> \x00 \x1b[8mha:AAAA==\x1b[0m <script>alert(1)</script> &amp; \ufffe \ud800 \u202e"


def suite(of: Record, found: Figures | None = None) -> Element:
    document = junit(assemble(of, found or Figures(), grade_of(of, found), REPORT))
    root: Element = ElementTree.fromstring(document)
    only = root.find("testsuite")
    assert only is not None
    return only


def verdicts(of: Element, group: str) -> dict[str, str]:
    """Name -> tag of its verdict, `passed` where there is none."""
    cases = [case for case in of.findall("testcase") if case.get("classname", "").endswith(f".{group}")]
    return {case.get("name", ""): next((child.tag for child in case), "passed") for case in cases}


def test_each_check_and_each_stage_is_a_case() -> None:
    cases = suite(record(), figures(seconds=301.0))
    assert verdicts(cases, "checks") == {
        "accuracy": "passed",
        "gain": "passed",
        "training-time": "failure",
        "memory": "passed",
    }
    assert set(verdicts(cases, "stages").values()) == {"passed"}
    assert (cases.get("tests"), cases.get("failures"), cases.get("errors")) == ("13", "1", "0")


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        (Outcome.FAILED, "failure"),
        (Outcome.LIMIT, "failure"),
        (Outcome.INFRASTRUCTURE, "error"),
        (Outcome.COURSE, "error"),
        (Outcome.ABORTED, "error"),
    ],
)
def test_whose_fault_a_stage_was_is_told_apart(outcome: Outcome, tag: str) -> None:
    cases = suite(ended_early("build", outcome, "it went wrong"))
    stages = verdicts(cases, "stages")
    assert (stages["check"], stages["build"], stages["push"]) == ("passed", tag, "skipped")
    assert set(verdicts(cases, "checks").values()) == {"skipped"}


def test_a_run_that_was_stopped_between_stages_is_not_green() -> None:
    cases = suite(record(outcome=Outcome.ABORTED, reason="cancelled"))
    assert cases.get("errors") == "1"
    assert [case.get("name") for case in cases.findall("testcase") if case.find("error") is not None] == ["outcome"]


def test_a_check_without_a_measure_is_an_error_where_that_decides() -> None:
    assert verdicts(suite(record(), figures(accuracy=None)), "checks")["accuracy"] == "error"


def test_hostile_text_stays_text() -> None:
    request = record().request.model_copy(update={"student": HOSTILE})
    cases = suite(ended_early("check", Outcome.FAILED, HOSTILE, request=request))
    failure = cases.find("testcase/failure")
    assert failure is not None and failure.text is not None
    assert "]]>" in failure.text and "<script>alert(1)</script>" in failure.text
    assert "ha:" not in failure.text and "\x1b" not in failure.text
    assert len(list(cases.iter("testcase"))) == 13


@given(st.text(max_size=400))
def test_any_text_gives_a_document_that_can_be_read(text: str) -> None:
    request = record().request.model_copy(update={"student": text, "source": text})
    suite(ended_early("check", Outcome.FAILED, text, request=request))


def test_long_text_is_cut_with_a_mark() -> None:
    cases = suite(ended_early("check", Outcome.FAILED, "x" * 100_000))
    failure = cases.find("testcase/failure")
    assert failure is not None and failure.text is not None
    assert len(failure.text) < 3000 and "characters dropped" in failure.text


def test_the_file_of_a_run_is_that_document(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record(), figures())
    report(run, None, lambda _: None)  # type: ignore[arg-type]
    assert ElementTree.parse(run.junit_file).getroot().get("tests") == "13"
