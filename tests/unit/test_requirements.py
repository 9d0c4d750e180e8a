"""requirements.txt: what is accepted, and what a refused line is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Fault
from pipeline.requirements import read_requirements

BASE = {"torch": "2.13.0+cpu", "numpy": "2.4.6"}


def one_fault(line: str) -> Fault:
    read = read_requirements(f"six\n{line}\n".encode(), BASE)
    assert [one.name for one in read.accepted] == ["six"]
    assert len(read.faults) == 1
    assert read.faults[0].line == 2
    return read.faults[0]


@pytest.mark.parametrize(
    "line",
    [
        "six",
        "requests[socks]>=2,<3",
        'pywin32==306 ; sys_platform == "win32"',
        "torch==2.13.0",
        "torch==2.13.0+cpu",
        "Torch>=2",
        "numpy",
        "six  # why",
    ],
)
def test_name_extras_specifier_and_marker_are_accepted(line: str) -> None:
    read = read_requirements(line.encode(), BASE)
    assert read.faults == ()
    assert len(read.accepted) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-r /etc/passwd", "another file"),
        ("--requirement=/etc/passwd", "another file"),
        ("-c constraints.txt", "another file"),
        ("-i https://index.example/simple", "package index"),
        ("-ihttps://index.example/simple", "package index"),
        ("--index-url https://index.example/simple", "package index"),
        ("--extra-index-url=https://index.example/simple", "package index"),
        ("--trusted-host index.example", "where packages come from"),
        ("-f ./wheels", "where packages come from"),
        ("--no-binary :all:", "how packages are built"),
        ("--pre", "unfinished"),
        ("--no-deps", "none is accepted"),
        ("numpy --pre", "unfinished"),
        ("numpy --hash=sha256:00", "hashes"),
        ("x @ http://host.example/${TOKEN}/x.whl", "an address of its own"),
        ("git+https://host.example/a/b.git", "address"),
        ("./evil", "path"),
        ("../evil", "path"),
        ("~/evil", "path"),
        ("file:///tmp/evil", "path"),
        ("evil.tar.gz", "path"),
        ("$(touch x)", "no requirement"),
        ("six; rm -rf /", "no requirement"),
        ("six=1.0", "no requirement"),
    ],
)
def test_every_other_line_is_refused_with_the_reason(line: str, words: str) -> None:
    fault = one_fault(line)
    assert words in fault.message
    assert fault.hint


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        (
            "numpy @ file:///croot/numpy_and_numpy_base_1/dist/numpy-1.26.0-cp311-cp311-linux_x86_64.whl",
            "`numpy==2.4.6`",
        ),
        ("einops @ file:///home/conda/feedstock_root/einops-0.8.1-py3-none-any.whl", "`einops==0.8.1`"),
        ("certifi @ file:///croot/certifi_1700501669400/certifi", "`certifi==VERSION`"),
        ("-e git+https://host.example/a/b.git@v1.2.3#egg=tool", "`tool==1.2.3`"),
        ("-e git+ssh://git@host.example/a/b.git@0badcafe#egg=numpy", "`numpy==2.4.6`"),
        ("-e .", "remove it"),
        ("-e /home/me/project", "remove it"),
        ("pkg-resources==0.0.0", "delete the line"),
        ("torch==2.1.0", "`torch==2.13.0`"),
        ("torch==2.1.0+cu118", "`torch==2.13.0`"),
        ("numpy<2", "`numpy==2.4.6`"),
        (r"C:\Users\me\tool-1.0-py3-none-any.whl", "`tool==1.0`"),
    ],
)
def test_lines_of_a_real_pip_freeze_get_their_fix(line: str, fix: str) -> None:
    assert fix in one_fault(line).hint


def test_a_conflict_names_the_version_that_the_base_provides() -> None:
    assert "torch 2.13.0+cpu" in one_fault("torch==2.1.0").message


def test_lines_are_numbered_as_in_the_file_with_continuations_and_all_line_ends() -> None:
    read = read_requirements(b"# c\r\n\r\nsix \\\r\n  >=1\r-e .\n--pre", BASE)
    assert [str(one) for one in read.accepted] == ["six>=1"]
    assert read.lines == (3,)
    assert [fault.line for fault in read.faults] == [5, 6]


def test_only_allowed_packages_and_those_of_the_base() -> None:
    read = read_requirements(b"Einops\ntorch\nsix\n", BASE, allowed=["einops"])
    assert [one.name for one in read.accepted] == ["Einops", "torch"]
    assert "not among the packages" in read.faults[0].message
    assert "einops" in read.faults[0].hint


@pytest.mark.parametrize("line", ["# -*- coding: utf-7 -*-", "#coding=utf-16", "six\n# vim: set fileencoding=rot13 :"])
def test_a_coding_line_that_pip_would_obey_is_refused(line: str) -> None:
    assert any("only UTF-8 is read" in fault.message for fault in read_requirements(line.encode(), BASE).faults)


def test_utf_16_of_powershell_is_named_with_the_way_out() -> None:
    fault = read_requirements("six\n".encode("utf-16"), BASE).faults[0]
    assert "UTF-16" in fault.message
    assert "PowerShell" in fault.hint


def test_a_file_of_many_lines_is_refused_once() -> None:
    read = read_requirements(b"--pre\n" * 100_000, BASE)
    assert "bytes" in read.faults[0].message
    read = read_requirements(b"six\n" * 5000, BASE)
    assert len(read.faults) == 1


def test_what_changes_nothing_does_not_change_the_lock() -> None:
    one = read_requirements(b"six>=1,<2\nEinops\n", BASE).normalised()
    same = read_requirements(b"# mine\neinops\nsix <2, >=1\neinops", BASE).normalised()
    assert one == same
    assert one != read_requirements(b"six>=1\nEinops\n", BASE).normalised()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_whatever_is_accepted_is_name_extras_specifier_and_marker(text: str) -> None:
    read = read_requirements(text.encode(), BASE)
    for requirement in read.accepted:
        assert requirement.url is None
        assert "\n" not in str(requirement)
    for line in read.normalised().splitlines():
        assert line[0].isalnum()


def test_markers_are_judged_by_the_bases_python() -> None:
    """A line for another Python than the base's is for nobody here, whatever this machine has."""
    text = b"numpy<2; python_version < '3.13'\n"
    base = {"numpy": "2.4.6"}
    assert read_requirements(text, base, markers={"python_version": "3.13"}).faults == ()
    assert read_requirements(text, base, markers={"python_version": "3.12"}).faults
