"""Folders that were made to harm: cases 1 to 11, 14, 15 and 19 to 22 of docs/security.md, up to the built image."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from support.stages import FixedBase, new_run, submission, walk
from support.wheels import make_wheel

from pipeline.errors import InfrastructureError, SubmissionError
from pipeline.practice import practice_course
from pipeline.run import Run

NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that answers nobody, so that whatever asks one fails."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", NOWHERE)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)


def faults(tmp_path: Path, source: Path) -> list[str]:
    run = new_run(tmp_path / "run", source)
    walk(run, "fetch")
    with pytest.raises(SubmissionError) as caught:
        walk(run, "check")
    assert caught.value.exit_code == 10
    said = [str(fault) for fault in caught.value.faults]
    assert all(one.isprintable() for one in said)
    return said


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "-c /etc/passwd",
        "--index-url http://127.0.0.1:9/simple",
        "--extra-index-url http://127.0.0.1:9/simple",
        "x @ http://127.0.0.1:9/${HOME}/x.whl",
        "git+https://127.0.0.1:9/a.git",
        "-e .",
        "./evil",
        "evil @ file:evil",
        "--no-binary :all:",
        "--pre",
    ],
)
def test_1_to_5_and_7_no_line_reads_a_file_reaches_a_server_or_runs_a_setup(tmp_path: Path, line: str) -> None:
    mark = tmp_path / "ran"
    source = submission(tmp_path / "source", requirements__txt=line + "\n")
    (source / "evil").mkdir()
    for setup in (source / "evil" / "setup.py", source / "setup.py"):
        setup.write_text(f"open({str(mark)!r}, 'w')\n")
    said = faults(tmp_path, source)
    assert len(said) == 1
    assert said[0].startswith("requirements.txt:1: ")
    assert "root:" not in said[0]
    assert os.environ["HOME"] not in said[0]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model__py", "x = 1\n".encode("utf-16")),
        ("model__py", b"# -*- coding: rot13 -*-\nqrs s(): cnff\n"),
        ("model__py", b"x = '\xff'\n"),
        ("model__py", b"x = 1\0\n"),
        ("model__py", b"(" * 50_000),
        ("model__py", b"x = " + b"-" * 100_000 + b"1"),
        ("model__py", b"x = " + b"a." * 100_000 + b"a"),
        ("model__py", b"def build_model():\n\treturn 1\n        return 2\n"),
        ("model__py", b"return 1\n"),
        ("model__py", b"#" * (2**20 + 1)),
        ("submission__toml", "epochs = 1".encode("utf-16")),
        ("submission__toml", b"[" * 200_000),
        ("requirements__txt", "six".encode("utf-16")),
        ("requirements__txt", b"# coding: utf-7\n+AC0-e .\n"),
    ],
)
def test_6_text_that_is_not_plain_utf_8_python_or_toml_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    said = faults(tmp_path, submission(tmp_path / "source", **{name: content}))
    assert all(one.startswith(name.replace("__", ".")) for one in said)


def build_with(tmp_path: Path, wheel: Path) -> Run:
    source = submission(tmp_path / "source", requirements__txt=wheel.name.split("-")[0])
    course = practice_course(cache=tmp_path / "cache", wheels=wheel.parent)
    run = new_run(tmp_path / "run", source, course=course)
    walk(run, "fetch", "check", "render")
    return run


def test_8_a_wheel_with_pth_or_a_module_of_ours_is_unpacked_and_noted_and_not_run(tmp_path: Path) -> None:
    from pipeline.environments import make_environment
    from pipeline.package_tool import PackageTool

    mark = tmp_path / "ran"
    files = {"evil.pth": f"import os; open({str(mark)!r}, 'w')\n", "runner.py": f"open({str(mark)!r}, 'w')\n"}
    wheel = make_wheel(tmp_path / "wheels", "evil", files=files)
    run = build_with(tmp_path, wheel)
    checked = run.record.checked
    assert checked is not None
    tool = PackageTool.of(run.record.course, checked.assignment, tmp_path / "cache")
    base = FixedBase().base("default")
    made = make_environment(run.requirements_lock, checked.lock_sha256, base, tmp_path / "cache", tool)
    assert any("evil.pth" in note for note in made.notes)
    assert any("runner" in note for note in made.notes)
    assert not mark.exists()


@pytest.mark.parametrize("text", ['bob"\nRUN id', "{{''.__class__.__mro__}}", "$(id)", "${HOME}", "a\\"])
def test_9_and_10_no_text_of_a_student_is_in_what_is_rendered(tmp_path: Path, text: str) -> None:
    source = submission(tmp_path / "source", model__py=f"# {text!r}\ndef build_model(): ...\n")
    plain = new_run(tmp_path / "plain", submission(tmp_path / "other"))
    run = new_run(tmp_path / "run", source, student=text)
    for one in (plain, run):
        walk(one, "fetch", "check", "render")
    assert run.dockerfile.read_bytes() == plain.dockerfile.read_bytes()
    assert run.actions_file.read_bytes() == plain.actions_file.read_bytes()


def test_11_an_own_dockerfile_is_not_used_and_the_student_is_told(tmp_path: Path) -> None:
    files = {"Dockerfile": "# syntax=evil.example/x\nFROM scratch\nRUN id\n", "start__sh": "python x.py\n"}
    run = new_run(tmp_path / "run", submission(tmp_path / "source", **files))
    walk(run, "fetch", "check", "render")
    assert run.record.checked is not None
    notes = " ".join(run.record.checked.notes)
    assert "Dockerfile is not used: " in notes
    assert "start.sh is not used: " in notes
    assert "evil.example" not in run.dockerfile.read_text()


def test_14_an_index_that_cannot_be_reached_is_nobodys_failure(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", submission(tmp_path / "source", requirements__txt="six"))
    walk(run, "fetch")
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        walk(run, "check")


def test_15_a_package_without_a_wheel_is_not_built(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "wheels").mkdir()
    import tarfile

    (tmp_path / "setup.py").write_text(f"open({str(mark)!r}, 'w')\n")
    with tarfile.open(tmp_path / "wheels" / "bomb-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "bomb-1.0/setup.py")
    course = practice_course(cache=tmp_path / "cache", wheels=tmp_path / "wheels")
    run = new_run(tmp_path / "run", submission(tmp_path / "source", requirements__txt="bomb"), course=course)
    walk(run, "fetch")
    with pytest.raises((SubmissionError, InfrastructureError)):
        walk(run, "check")
    assert not mark.exists()


def test_19_and_20_links_fifos_and_sockets_are_refused_by_name(tmp_path: Path) -> None:
    source = submission(tmp_path / "source")
    (source / "link").symlink_to("/etc/passwd")
    (source / "folder").symlink_to("/etc")
    (source / "loop").symlink_to("loop")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(source)
        listening.bind("socket")
        os.chdir(here)
        said = faults(tmp_path, source)
    assert len(said) == 5
    for words in (
        "link: is a link out",
        "folder: is a link out",
        "loop: is a link to",
        "fifo: is a FIFO",
        "socket: is a s",
    ):
        assert any(one.startswith(words) for one in said)


def test_20_a_device_is_refused(tmp_path: Path) -> None:
    source = submission(tmp_path / "source")
    try:
        os.mknod(source / "device", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device needs root")
    assert any("device: is a device" in one for one in faults(tmp_path, source))


def test_21_names_are_refused_and_shown_without_harm(tmp_path: Path) -> None:
    source = submission(tmp_path / "source")
    names = [
        b"a\nb.py",
        b"\x1b]0;x\x07.py",
        b"-rf",
        b"$(touch x).py",
        b"\xff.py",
        b"a;b",
        b"`id`",
        b"x\xe2\x80\xaey.py",
    ]
    for name in names:
        (source / os.fsdecode(name)).write_text("")
    assert len(faults(tmp_path, source)) == len(names)


def test_22_a_sparse_file_and_a_hundred_thousand_files_end_early(tmp_path: Path) -> None:
    source = submission(tmp_path / "source")
    with (source / "sparse.bin").open("wb") as file:
        file.truncate(3 * 2**30)
    said = faults(tmp_path, source)
    assert len(said) == 1
    assert "sparse.bin (3072.0 MB)" in said[0]
    (source / "sparse.bin").unlink()
    many = source / "many"
    many.mkdir()
    for number in range(5_000):
        (many / f"{number}").touch()
    run = new_run(tmp_path / "second", source)
    walk(run, "fetch")
    assert run.record.fetched is not None
    assert run.record.fetched.files <= 2000
    assert "2000 files" in str(run.record.fetch_faults[-1])


def test_five_faults_are_named_in_one_go(tmp_path: Path) -> None:
    source = submission(
        tmp_path / "source", submission__toml='epohcs = 3\nepochs = "many"\n', requirements__txt="-e .\n"
    )
    (source / "broken.py").write_text("def f(:\n")
    (source / "link").symlink_to("/etc/passwd")
    said = faults(tmp_path, source)
    assert len(said) == 5
    for start in ("link: ", "submission.toml:1: ", "submission.toml:2: ", "broken.py:1: ", "requirements.txt:1: "):
        assert any(one.startswith(start) for one in said)
