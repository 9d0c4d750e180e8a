"""A base's packages: torch as its CPU build where it can be had, for the base's own Python and platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.wheels import make_wheel, serve_index

from pipeline.bases.resolve import resolve_base
from pipeline.bases.target import Target, marker_environment, python_platform
from pipeline.errors import CourseError, InfrastructureError
from pipeline.package_tool import PackageTool

HERE = Target("3.11.2", "x86_64-manylinux_2_36")
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def test_torch_of_a_wheel_folder_goes_before_a_newer_one_of_the_index(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu", requires=["sympy"])
    for name, version in (("torch", "2.15.0"), ("sympy", "1.14"), ("numpy", "2.4")):
        make_wheel(tmp_path / "index", name, version)
    with serve_index(tmp_path / "index") as index:
        tool = PackageTool(tmp_path / "uv", index, (str(tmp_path / "wheels"),))
        lock = resolve_base(("torch", "numpy"), HERE, tool)
    assert lock.packages == {"torch": "2.13.0+cpu", "sympy": "1.14", "numpy": "2.4"}
    assert lock.text.count("--hash=sha256:") == 3


def test_without_a_cpu_build_the_indexs_torch_is_taken(tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", "torch", "2.15.0")
    with serve_index(tmp_path / "index") as index:
        lock = resolve_base(("torch",), HERE, PackageTool(tmp_path / "uv", index))
    assert lock.packages == {"torch": "2.15.0"}


def test_a_torchvision_that_could_not_be_imported_is_refused_with_what_to_do(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu")
    make_wheel(tmp_path / "wheels", "torchvision", "0.28.0", requires=["torch"])
    tool = PackageTool(tmp_path / "uv", NOWHERE, (str(tmp_path / "wheels"),))
    with pytest.raises(CourseError, match=r"torchvision 0\.28\.0 .* built for CUDA") as caught:
        resolve_base(("torch", "torchvision"), HERE, tool)
    assert "UV_FIND_LINKS" in caught.value.hint


def test_a_torchvision_of_the_same_build_is_taken(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu")
    make_wheel(tmp_path / "wheels", "torchvision", "0.28.0+cpu", requires=["torch"])
    tool = PackageTool(tmp_path / "uv", NOWHERE, (str(tmp_path / "wheels"),))
    assert resolve_base(("torch", "torchvision"), HERE, tool).packages["torchvision"] == "0.28.0+cpu"


def test_wheels_are_chosen_for_the_bases_python(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "alpha", requires=["old; python_version < '3.12'", "new; python_version >= '3.12'"])
    make_wheel(tmp_path / "wheels", "old")
    make_wheel(tmp_path / "wheels", "new")
    tool = PackageTool(tmp_path / "uv", NOWHERE, (str(tmp_path / "wheels"),))
    assert "old" in resolve_base(("alpha",), Target("3.11.2"), tool).packages
    assert "new" in resolve_base(("alpha",), Target("3.13.1", "aarch64-manylinux_2_28"), tool).packages


def test_whose_fault_it_is(tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", "numpy")
    with serve_index(tmp_path / "index") as index, pytest.raises(CourseError, match=r"no wheels for Python 3\.11\.2"):
        resolve_base(("missing-thing",), HERE, PackageTool(tmp_path / "uv", index))
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        resolve_base(("numpy",), HERE, PackageTool(tmp_path / "uv", NOWHERE))
    with pytest.raises(CourseError, match="base's packages"):
        resolve_base(("--index-url http://elsewhere",), HERE, PackageTool(tmp_path / "uv", NOWHERE))


@pytest.mark.parametrize(
    ("machine", "libc", "version", "platform"),
    [
        ("x86_64", "glibc", "2.36", "x86_64-manylinux_2_36"),
        ("x86_64", "glibc", "2.30", "x86_64-manylinux_2_28"),
        ("aarch64", "glibc", "2.51", "aarch64-manylinux_2_40"),
        ("x86_64", "", "", "x86_64-unknown-linux-musl"),
    ],
)
def test_a_platform_in_uvs_words(machine: str, libc: str, version: str, platform: str) -> None:
    assert python_platform(machine, libc, version) == platform


@pytest.mark.parametrize(("machine", "libc", "version"), [("s390x", "glibc", "2.36"), ("x86_64", "glibc", "2.12")])
def test_a_platform_without_wheels_is_the_courses_fault(machine: str, libc: str, version: str) -> None:
    with pytest.raises(CourseError):
        python_platform(machine, libc, version)


def test_markers_are_those_of_the_base_and_not_of_this_machine() -> None:
    found = marker_environment("3.13.1", "aarch64-manylinux_2_28")
    assert (found["python_version"], found["platform_machine"]) == ("3.13", "aarch64")
    assert marker_environment("3.13.1", "") == {}
