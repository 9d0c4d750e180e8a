"""junit.xml: a test case for each check and each stage, for Jenkins' test page.

A check or stage that failed is a `failure` where that is the student's, an `error` where it is not, so that staff and
student see at a glance whose it is.
"""

from __future__ import annotations

from datetime import UTC
from xml.etree import ElementTree

from pipeline.errors import Outcome
from pipeline.reporting.text import shown
from pipeline.result import CheckResult, Result, StageResult
from pipeline.run import Status

STUDENTS = {Outcome.FAILED, Outcome.LIMIT, Outcome.PASSED}
Element = ElementTree.Element


def junit(result: Result) -> bytes:
    """The document, encoded."""
    name = result.assignment or result.course
    cases = [check_case(check, name, result) for check in result.checks]
    cases += [stage_case(stage, name, result) for stage in result.stages]
    cases += unsaid(cases, name, result)
    seconds = f"{sum(stage.seconds for stage in result.stages):.3f}"
    root = Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", name=shown(name, 200), time=seconds)
    suite.set("timestamp", result.arrived.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    add_properties(suite, result)
    suite.extend(cases)
    for element in (root, suite):
        element.set("tests", str(len(cases)))
        for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def add_properties(suite: Element, result: Result) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    points = "" if result.points is None else f"{result.points:g}"
    for name, value in (
        ("run", result.run),
        ("student", result.submission.student),
        ("commit", result.submission.commit or ""),
        ("outcome", result.outcome.value),
        ("points", points),
        ("practice", str(result.practice).lower()),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=shown(value, 300))


def check_case(check: CheckResult, name: str, result: Result) -> Element:
    case = new_case(f"{name}.checks", check.name)
    if check.passed:
        return case
    graded = not check.detail.startswith("not graded")
    tag = "skipped" if not graded else failure_tag(result)
    return with_verdict(case, tag, check.detail)


def stage_case(stage: StageResult, name: str, result: Result) -> Element:
    case = new_case(f"{name}.stages", stage.name, stage.seconds)
    if stage.status is Status.DONE:
        return case
    if stage.status is Status.FAILED:
        return with_verdict(case, failure_tag(result), stage.reason or "failed")
    return with_verdict(case, "skipped", stage.reason or "not reached")


def unsaid(cases: list[Element], name: str, result: Result) -> list[Element]:
    """A case of its own for a run that did not pass though no check and no stage says so: stopped, or cut short."""
    said = any(case.find(tag) is not None for case in cases for tag in ("failure", "error"))
    if said or result.outcome is Outcome.PASSED:
        return []
    return [with_verdict(new_case(name, "outcome"), failure_tag(result), result.outcome.value)]


def failure_tag(result: Result) -> str:
    return "failure" if result.outcome in STUDENTS else "error"


def new_case(group: str, name: str, seconds: float = 0.0) -> Element:
    return Element("testcase", classname=shown(group, 200), name=shown(name, 200), time=f"{seconds:.3f}")


def with_verdict(case: Element, tag: str, text: str) -> Element:
    verdict = ElementTree.SubElement(case, tag, message=" ".join(shown(text, 500).split()))
    if tag != "skipped":
        verdict.text = shown(text)
    return case
