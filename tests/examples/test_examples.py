"""Every example submission ends as the `expected.toml` beside it says, on the real MNIST, through all nine stages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate
from support.runs import COURSE, EXAMPLES, ROOT, Finished, submit

from pipeline.data.mnist import fetch

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/expected.toml"))
EXPECTED = {folder: tomllib.loads((folder / "expected.toml").read_text()) for folder in FOLDERS}
# how a container ends is the sandbox's affair, what a cheat comes to is not; test_docker.py has the main job
STEPS = 2 * 94
"""Twice the batches of 32 in one of the two halves of 6000 rows."""
CASES = [(folder, sandbox) for folder in FOLDERS for sandbox in EXPECTED[folder].get("sandboxes", ["process"])]


@pytest.mark.parametrize(
    ("folder", "sandbox"), CASES, indirect=["sandbox"], ids=[f"{folder.name}-{sandbox}" for folder, sandbox in CASES]
)
def test_an_example_ends_as_it_says(folder: Path, sandbox: str, tmp_path: Path) -> None:
    expected = EXPECTED[folder]
    source = prepared(folder, expected["prepare"], tmp_path) if "prepare" in expected else folder
    course = None if expected.get("practice") else course_of(expected, tmp_path)

    done = submit(source, tmp_path / "run", "--sandbox", sandbox, course=course)

    assert done.code == expected["exit_code"], done.output
    assert done.result["outcome"] == expected["outcome"]
    reason = json.dumps(done.result) + done.output
    for words in expected.get("reason_contains", []):
        assert words in reason
    assert (tmp_path / "run" / "report.html").stat().st_size > 0


def course_of(expected: dict[str, object], place: Path) -> Path:
    """The tests' course, or a copy with less time for an action."""
    if "timeout_s" not in expected:
        return COURSE
    course, limit = place / "course.toml", "timeout_s = 60"
    assert limit in COURSE.read_text()
    course.write_text(COURSE.read_text().replace(limit, f"timeout_s = {expected['timeout_s']}"))
    return course


def prepared(folder: Path, program: str, place: Path) -> Path:
    """A copy of the example with what its program makes: MNIST's pictures are not in the repository."""
    copy = place / folder.name
    shutil.copytree(folder, copy)
    test_images = fetch().test_images
    subprocess.run([sys.executable, copy / program, test_images.parent], check=True, cwd=copy)
    return copy


def test_an_honest_submission_passes_with_every_stage_done(honest: Finished) -> None:
    assert honest.code == 0, honest.output
    assert [stage["status"] for stage in honest.result["stages"]] == ["done"] * 9
    assert honest.result["points"] == honest.result["max_points"] == 100
    assert honest.result["metrics"]["accuracy"] > 0.85
    assert honest.result["metrics"]["accuracy_initial"] < 0.4
    assert len(honest.result["workers"]) == 2


def test_the_result_keeps_to_its_schema(honest: Finished) -> None:
    validate(honest.result, json.loads((ROOT / "docs" / "result.schema.json").read_text()))


def test_the_accuracy_is_that_of_the_saved_predictions(honest: Finished) -> None:
    private = honest.folder / "private"
    predicted = np.load(private / "predictions" / "final-hidden.npy")
    labels = np.load(private / "labels-hidden.npy")

    assert honest.result["metrics"]["accuracy"] == pytest.approx(float((predicted == labels).mean()))


def test_a_checkpoint_of_the_way_is_scored_on_other_rows_than_the_grade(honest: Finished) -> None:
    execution = json.loads((honest.folder / "private" / "execution.json").read_text())
    asked = {one["name"] for one in execution["predictions"] if one["ended"] and not one["problem"]}
    scored = {f"{version}-validation" for version in ("initial", f"checkpoint-{STEPS // 2}", "final")}
    assert asked == {"initial-hidden", "final-hidden"} | scored
    assert "validation" in honest.report


def test_what_was_measured_is_there_for_each_worker(honest: Finished) -> None:
    for worker in honest.result["workers"]:
        assert worker["steps"] == STEPS
        assert worker["cpu_s"] > 0
        assert 20 < worker["peak_memory_mb"] < 512
        assert worker["bytes_sent"] > STEPS * 200_000
        assert "peak_memory_mb" in worker["measured"]
        assert "compute_s" in worker["reported"]


def test_the_student_can_read_the_workers_logs(honest: Finished) -> None:
    assert "training step" in (honest.folder / "logs" / "worker-0.log").read_text()


def test_no_secret_lies_where_a_student_reads(honest: Finished) -> None:
    """Keys and tokens of the run are nowhere but in its private files."""
    execution = json.loads((honest.folder / "private" / "execution.json").read_text())
    secrets = [worker["token"] for worker in execution["workers"]]
    secrets.append((honest.folder / "private" / "secret").read_bytes().hex())
    readable = [
        path
        for path in honest.folder.rglob("*")
        if path.is_file() and "private" not in path.parts and path.name != "servers.json"
    ]

    assert len(readable) > 10
    for path in readable:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path
        assert b"X-Amz-Signature=" not in content.replace(b"X-Amz-Signature=[masked]", b""), path


def test_nothing_of_the_run_is_left_running(honest: Finished) -> None:
    import psutil

    left = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(honest.folder) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []


def test_five_faults_are_named_at_once(tmp_path: Path) -> None:
    done = submit(EXAMPLES / "five_faults", tmp_path / "run")

    assert done.code == 10
    assert len(done.result["faults"] if "faults" in done.result else json.loads(record(done))["faults"]) >= 5
    for part in ("submission.toml", "requirements.txt", "-e", "syntax", "link"):
        assert part in done.output.lower(), done.output
    assert "<html" in done.report


def record(done: Finished) -> str:
    return (done.folder / "record.json").read_text()
