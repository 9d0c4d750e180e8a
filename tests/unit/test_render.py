"""render: golden files compared whole; the same input gives the same bytes; nothing leaves its place."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from support.stages import RUN, FixedBase, new_run, submission, walk

from pipeline.errors import CourseError
from pipeline.practice import practice_course
from pipeline.rendering import dockerfile, image, image_reference, quoted, render_template, variable
from pipeline.run import Run
from pipeline.settings import Servers

GOLDEN = Path(__file__).parents[1] / "golden" / "render"
BASE = FixedBase().base("default")


def rendered(tmp_path: Path) -> Run:
    run = new_run(tmp_path / "run", submission(tmp_path / "source"))
    walk(run, "fetch", "check", "render")
    return run


def same_as_golden(text: str, name: str) -> None:
    """GOLDEN=write renews the files, whose difference is then read in the commit."""
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_a_submission_without_packages(tmp_path: Path) -> None:
    run = rendered(tmp_path)
    same_as_golden(run.dockerfile.read_text(), "Dockerfile")
    same_as_golden(run.actions_file.read_text(), "actions.json")


def test_a_submission_with_packages() -> None:
    same_as_golden(dockerfile(BASE, "cd" * 32, has_environment=True), "Dockerfile.environment")


def test_the_same_input_gives_the_same_bytes_and_the_record_their_hashes(tmp_path: Path) -> None:
    run, again = rendered(tmp_path / "a"), rendered(tmp_path / "b")
    assert run.dockerfile.read_bytes() == again.dockerfile.read_bytes()
    assert run.actions_file.read_bytes() == again.actions_file.read_bytes()
    assert run.record.rendered is not None
    assert run.record.rendered.dockerfile_sha256 == hashlib.sha256(run.dockerfile.read_bytes()).hexdigest()
    assert run.record.rendered.action_sha256 == hashlib.sha256(run.actions_file.read_bytes()).hexdigest()


def test_a_dockerfile_runs_nothing_and_ends_as_an_ordinary_user() -> None:
    for has_environment in (False, True):
        words = [line.split()[0] for line in dockerfile(BASE, "cd" * 32, has_environment=has_environment).splitlines()]
        assert not {"RUN", "ADD", "ARG", "SHELL", "ONBUILD", "CMD"} & set(words)
        assert words.count("USER") == words.count("ENTRYPOINT") == 1
        assert words[-1] == "COPY", "another line of code makes one layer"


def test_both_actions_share_image_and_limits_and_differ_by_task(tmp_path: Path) -> None:
    train, predict = json.loads(rendered(tmp_path).actions_file.read_text())
    assert (train["name"], predict["name"]) == (f"{RUN}-train", f"{RUN}-predict")
    assert train["parameters"] == {"task": "train", "kind": "train", "entry": "model.py"}
    assert predict["parameters"] == {"task": "predict", "kind": "train", "entry": "model.py"}
    assert (train["image"], train["limits"]) == (predict["image"], predict["limits"])


def test_a_value_that_a_template_needs_is_not_left_out() -> None:
    with pytest.raises(UndefinedError):
        render_template("Dockerfile.j2", {"base": "default"})


@pytest.mark.parametrize("text", ["a b", "a\nRUN id", "A", "a;b", "-a", "", "a@sha256:12", "a/../b", "a:b:c\n"])
def test_an_image_reference_is_matched_whole(text: str) -> None:
    with pytest.raises(CourseError):
        image(text)


@pytest.mark.parametrize(
    "text", ["default@sha256:" + "0" * 64, "host.example:5000/a/b:1.0", "environments:" + "0" * 64]
)
def test_real_image_references_are_accepted(text: str) -> None:
    assert image(text) == text


def test_values_of_variables_are_quoted_for_their_place() -> None:
    assert quoted('a "b" $c \\') == r'"a \"b\" \$c \\"'
    with pytest.raises(CourseError):
        quoted("a\nb")
    with pytest.raises(CourseError):
        variable("A=B")


def test_the_images_name_is_the_runs() -> None:
    course = practice_course(name="ml")
    assert image_reference(course, "mnist-train", RUN) == f"ml/mnist-train:{RUN}"
    course = practice_course(name="ml", servers=Servers(registry="registry.example:5000/students"))
    assert image_reference(course, "mnist-train", RUN) == f"registry.example:5000/students/ml/mnist-train:{RUN}"


@pytest.mark.parametrize(
    "registry", ["https://registry.example", "Registry.Example/UPPER", "registry.example:5000/a b"]
)
def test_a_registry_of_another_form_is_the_courses_fault(registry: str) -> None:
    with pytest.raises(CourseError, match="image reference"):
        image_reference(practice_course(servers=Servers(registry=registry)), "mnist-train", RUN)


def test_a_base_of_an_engine_is_named_by_its_id_and_its_packages_go_before_an_environments() -> None:
    base = replace(BASE, image=BASE.digest, site=("/usr/lib/python3/site-packages",))
    lines = dockerfile(base, "cd" * 32, has_environment=True).splitlines()
    assert f"FROM {BASE.digest}" in lines
    assert any('PYTHONPATH="/opt/runner:/usr/lib/python3/site-packages:/environment"' in line for line in lines)
