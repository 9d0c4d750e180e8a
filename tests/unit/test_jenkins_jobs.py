"""Jenkins' jobs as XML: compared whole, seen by whom they should be, marked by what is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from defusedxml import ElementTree
from support.jenkinsfile import JENKINSFILE
from support.reports import assignment

from pipeline.backends.ci.jenkins_jobs import PARAMETERS, folder, item, job, jobs, mark_of
from pipeline.build_server import BuildServer, Script
from pipeline.errors import CourseError
from pipeline.roster import Owner
from pipeline.settings import Course

GOLDEN = Path(__file__).parents[1] / "golden" / "jenkins"
SERVER = BuildServer(
    url="https://jenkins.example/",
    user="dispatcher",
    token_file=Path("token"),
    staff=("tutor",),
    script=Script(repository="https://git.example/staff/pipeline.git", credentials="staff-git"),
)
SEVEN = Owner("seven", ("ada", "b.ob"))
ASSIGNMENT = assignment(title="Train <LeNet-5> & more")
COURSE = Course(name="ml-2026", title="Machine Learning", assignments=(ASSIGNMENT, assignment(name="other")))


def test_job_and_folder_are_these_bytes() -> None:
    """Written by hand once and looked at; whoever changes a template changes these."""
    assert job(COURSE, ASSIGNMENT, SEVEN, SERVER).xml == (GOLDEN / "job.xml").read_text()
    assert folder(COURSE, [SEVEN], SERVER).xml == (GOLDEN / "folder.xml").read_text()


def test_one_job_for_each_owner_and_assignment() -> None:
    names = [one.name for one in jobs(COURSE, [SEVEN, Owner("zoe", ("zoe",))], SERVER)]
    assert names == [
        "ml-2026/mnist-train-seven", "ml-2026/mnist-train-zoe", "ml-2026/other-seven", "ml-2026/other-zoe",
    ]  # fmt: skip


def test_two_pairs_of_one_jobs_name_are_refused() -> None:
    """Else one student would read the other's builds."""
    course = Course(name="ml", assignments=(assignment(name="mnist"), assignment(name="mnist-train")))
    with pytest.raises(CourseError, match="ml/mnist-train-ada") as refused:
        jobs(course, [Owner("ada", ("ada",)), Owner("train-ada", ("train-ada",))], SERVER)
    assert "train-ada" in refused.value.hint


def test_a_mark_changes_with_what_it_marks_and_with_nothing_else() -> None:
    one = job(COURSE, ASSIGNMENT, SEVEN, SERVER)
    assert mark_of(ElementTree.fromstring(one.xml).findtext("description")) == one.mark
    assert job(COURSE, ASSIGNMENT, SEVEN, SERVER) == one
    assert job(COURSE, ASSIGNMENT, Owner("seven", ("ada",)), SERVER).mark != one.mark
    assert job(COURSE, ASSIGNMENT, SEVEN, SERVER.model_copy(update={"keep_builds": 9})).mark != one.mark
    assert mark_of("made by hand") is None
    assert mark_of(None) is None


def test_texts_of_the_course_cannot_be_xml() -> None:
    hostile = assignment(title="</displayName><disabled>true</disabled>\x00\x1b&amp;]]>")
    tree = ElementTree.fromstring(job(COURSE, hostile, SEVEN, SERVER).xml)
    assert tree.findtext("displayName") == "</displayName><disabled>true</disabled>&amp;]]> · seven"
    assert tree.findtext("disabled") == "false"


def test_the_bot_is_always_named_and_its_rights_are_not_lost_to_a_student_of_its_name() -> None:
    tree = ElementTree.fromstring(job(COURSE, ASSIGNMENT, Owner("x", ("dispatcher", "tutor")), SERVER).xml)
    granted = [one.text for one in tree.iter("permission")]
    assert granted.count("USER:hudson.model.Item.Configure:dispatcher") == 1
    assert "USER:hudson.model.Item.Build:tutor" in granted


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        item("x", "jenkins_job.xml.j2", {"title": "x"})


def test_jenkinsfile_and_job_take_the_same_parameters() -> None:
    text = JENKINSFILE.read_text()
    assert tuple(re.findall(r"string\(name: '(\w+)'", text)) == PARAMETERS
    assert tuple(re.findall(r"checkParameter\('(\w+)', params\.\1, ", text)) == PARAMETERS
