"""Images, one suite over both sandboxes: base, environment, runner and code, found in this order, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.image_builds import Building, in_processes, manifest_of, on_docker
from support.stages import walk

ORIGINS = """
import json, os, pathlib, tiny
try:
    import alpha
except ImportError:
    alpha = None
import runner
code = pathlib.Path(os.environ["RUNNER_CODE"])
print(json.dumps({
    "tiny": tiny.WHO, "alpha": alpha and alpha.WHO, "runner": runner.__file__.endswith("runner/__init__.py"),
    "code": sorted(path.name for path in code.iterdir()),
}))
"""
BYTECODE = """
import importlib.util, json, pathlib, alpha, tiny, runner.action
def fit(module):
    path = pathlib.Path(importlib.util.cache_from_source(module.__file__))
    return path.exists() and path.read_bytes()[:4] == importlib.util.MAGIC_NUMBER
print(json.dumps([fit(module) for module in (alpha, tiny, runner.action)]))
"""


@pytest.fixture(scope="module", params=["process", "docker"])
def building(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    folder = tmp_path_factory.mktemp("images")
    if request.param == "process":
        yield in_processes(folder)
        return
    engine, base = request.getfixturevalue("engine"), request.getfixturevalue("debian_python")
    with on_docker(folder, engine, base) as made:
        yield made


def test_an_image_has_base_environment_runner_and_code(building: Building) -> None:
    run = building.built(requirements__txt="alpha\n", helper__py="x = 1\n")
    said = building.says(manifest_of(run), ORIGINS)
    assert said == {
        "tiny": "base",
        "alpha": "environment",
        "runner": True,
        "code": ["helper.py", "model.py", "requirements.txt"],
    }
    assert run.record.checked is not None and run.record.checked.locked == ("alpha==1.0",)


def test_without_requirements_there_is_no_environment(building: Building) -> None:
    run = building.built()
    assert building.says(manifest_of(run), ORIGINS)["alpha"] is None
    assert not run.requirements_lock.read_text()


def test_a_wheel_cannot_take_the_place_of_what_the_base_has(building: Building) -> None:
    run = building.built(requirements__txt="evil\n")
    assert building.says(manifest_of(run), ORIGINS)["tiny"] == "base"
    assert run.record.image is not None and any("evil.pth" in note for note in run.record.image.notes)


def test_bytecode_is_that_of_the_python_that_loads_it(building: Building) -> None:
    run = building.built(requirements__txt="alpha\n")
    assert building.says(manifest_of(run), BYTECODE) == [True, True, True]


def test_the_same_submission_is_the_same_image_and_another_line_another(building: Building) -> None:
    run = building.prepared(requirements__txt="alpha\n")
    digests = []
    for _ in range(2):
        walk(run, "build", images=building.images)
        assert run.record.image is not None
        digests.append(run.record.image.digest)
    changed = building.built(requirements__txt="alpha\n", model__py="def build_model():\n    return 1\n")
    assert changed.record.image is not None
    assert digests[0] == digests[1] != changed.record.image.digest
    assert changed.record.image.cached, "nothing was installed"


def test_code_actions_run_in_base_and_runner_alone(building: Building) -> None:
    image = building.images.runtime("python:3")
    assert image.reference == "python:3"
    said = building.says(image, ORIGINS)
    assert said == {"tiny": "base", "alpha": None, "runner": True, "code": []}
    again = building.images.runtime("python:3")
    assert image == again
