"""build in the process sandbox: base, runner and code as folders, and the manifest that names them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.stages import new_run, submission, walk
from support.wheels import make_wheel

from pipeline.backends.images.process import ProcessImages, closure, copy_of_runner, files_of
from pipeline.embedded.contract import ProcessImage
from pipeline.errors import CourseError
from pipeline.practice import practice_course
from pipeline.run import Run
from pipeline.settings import BaseRecipe
from pipeline.torch_builds import note_of


@pytest.fixture(scope="module")
def cache(session_cache: Path) -> Path:
    """One cache for all: a base takes seconds where the environment's bytecode is not compiled."""
    return session_cache / "ml-submission-pipeline"


def built(folder: Path, cache: Path, **files: str) -> Run:
    run = new_run(folder / "run", submission(folder / "source", **files), course=practice_course(cache=cache))
    walk(run, "fetch", "check", "render", "build", "push", images=ProcessImages(cache))
    return run


def manifest(run: Run) -> ProcessImage:
    return ProcessImage.model_validate_json(run.image_file.read_bytes())


def test_an_image_is_a_manifest_of_folders_that_are_there(tmp_path: Path, cache: Path) -> None:
    run = built(tmp_path, cache)
    image = manifest(run)
    assert run.record.image is not None
    assert (image.reference, image.digest) == (run.record.image.reference, run.record.image.digest)
    assert image.reference == json.loads(run.actions_file.read_text())[0]["image"]
    assert image.environment is None
    assert image.code == run.source
    assert (image.base / "torch" / "__init__.py").exists()
    assert (image.base / "numpy" / "__init__.py").exists()
    assert [path.name for path in image.runner.iterdir()] == ["runner"]
    assert any("torch" in note and "build" in note for note in run.record.image.notes)


def test_the_same_submission_is_the_same_image_and_one_changed_line_another(tmp_path: Path, cache: Path) -> None:
    one, same = built(tmp_path / "a", cache), built(tmp_path / "b", cache)
    other = built(tmp_path / "c", cache, model__py="def build_model():\n    return 1\n")
    assert manifest(one).digest == manifest(same).digest != manifest(other).digest
    assert same.record.image is not None
    assert same.record.image.cached


def test_code_is_read_only(tmp_path: Path, cache: Path) -> None:
    run = built(tmp_path, cache)
    assert stat.S_IMODE(run.source.stat().st_mode) == 0o555
    assert stat.S_IMODE((run.source / "model.py").stat().st_mode) == 0o444


def test_torch_comes_from_the_base_and_nothing_of_the_pipeline_is_there(tmp_path: Path, cache: Path) -> None:
    image = manifest(built(tmp_path, cache))
    code = (
        "import importlib.util, json, numpy, torch;"
        "print(json.dumps([torch.__file__, importlib.util.find_spec('pydantic') is None,"
        " importlib.util.find_spec('pipeline') is None, importlib.util.find_spec('runner') is not None]))"
    )
    variables = {"PYTHONPATH": f"{image.runner}:{image.base}", "PYTHONSAFEPATH": "1", "PATH": os.defpath}
    command = [str(image.python), "-S", "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, cwd=tmp_path)
    file, *others = json.loads(done.stdout)
    assert Path(file).is_relative_to(image.base)
    assert others == [True, True, True]


def test_what_torch_imports_has_bytecode(tmp_path: Path, cache: Path) -> None:
    base = manifest(built(tmp_path, cache)).base
    tag = sys.implementation.cache_tag
    for module in ("torch/__init__", "torch/nn/modules/conv", "numpy/__init__"):
        path = base / module
        assert (path.parent / "__pycache__" / f"{path.name}.{tag}.pyc").exists()


def test_the_base_has_what_torch_and_numpy_need_and_no_more(cache: Path) -> None:
    base = ProcessImages(cache).base("default")
    assert {"torch", "numpy", "typing-extensions", "filelock"} <= set(base.packages)
    assert not {"pydantic", "pytest", "flask"} & set(base.packages)
    assert "Requires-Dist" in base.metadata["torch"]
    assert base.digest == ProcessImages(cache).base("default").digest


def test_no_file_of_a_package_leaves_the_folder() -> None:
    for distribution in closure(("numpy",)).values():
        assert not [path for path in files_of(distribution) if path.startswith(("/", ".."))]


def test_which_build_of_torch_it_is() -> None:
    assert note_of({"torch": "2.13.0+cpu", "numpy": "2.4.6"}) == ("torch 2.13.0+cpu, CPU build",)
    assert note_of({"torch": "2.15.0", "nvidia-nvtx": "13.2.86"}) == ("torch 2.15.0, CUDA build",)
    assert note_of({"numpy": "2.4.6"}) == ()


def test_a_base_that_is_none_is_the_courses(cache: Path) -> None:
    with pytest.raises(CourseError, match="no base 'jupyter'"):
        ProcessImages(cache).base("jupyter")


def test_the_copy_of_the_runner_is_made_once(tmp_path: Path) -> None:
    folder, digest = copy_of_runner(tmp_path)
    assert (folder / "runner" / "__init__.py").exists()
    assert copy_of_runner(tmp_path) == (folder, digest)
    assert [path.name for path in (tmp_path / "runners").iterdir()] == [digest]


def test_the_base_has_what_extras_of_its_packages_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI's torch asks for `cuda-toolkit[cudart]`, and only the extra names the library that it loads."""
    needs = {"framework": ["toolkit[runtime]"], "toolkit": ["library; extra == 'runtime'", "unasked; extra == 'all'"]}
    for name, required in (needs | {"library": []}).items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0", *(f"Requires-Dist: {one}" for one in required)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert set(closure(("framework",))) == {"framework", "toolkit", "library"}


def test_a_courses_own_list_of_packages_is_laid_out_once(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "alpha", "1.0", requires=["beta"])
    make_wheel(tmp_path / "wheels", "beta", "2.0")
    recipe = BaseRecipe(name="own", from_image="what docker begins with", packages=("alpha",))
    course = practice_course(bases=(recipe,), wheels=tmp_path / "wheels")
    base = ProcessImages(tmp_path / "cache", course).base("own")
    assert base.packages == {"alpha": "1.0", "beta": "2.0"}
    assert base.folder is not None and (base.folder / "beta.py").exists()
    assert list(base.folder.glob("__pycache__/alpha.*.pyc"))
    make_wheel(tmp_path / "wheels", "alpha", "1.1")
    assert ProcessImages(tmp_path / "cache", course).base("own") == base, "a base stays what it is"


def test_a_base_that_is_an_image_has_no_folder(tmp_path: Path) -> None:
    recipe = BaseRecipe(name="own", image="registry.example/torch@sha256:" + "0" * 64)
    with pytest.raises(CourseError, match="cannot lay out") as caught:
        ProcessImages(tmp_path, practice_course(bases=(recipe,))).base("own")
    assert "--sandbox docker" in caught.value.hint
