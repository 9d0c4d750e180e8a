"""Map-reduce on a small text: a straggler and a killed mapper change nothing, and what a program does wrong is said."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.killing import execution, left_of, wait_for
from support.runs import Finished, pipeline, start, submit

COURSE = Path(__file__).with_name("mapreduce.toml")
LINES = [f"cucumber the word{number} and The{number % 3}" for number in range(40)]
MAP = "def map(key, value):\n    for word in value.split():\n        yield word, 1\n"
SLOW_MAP = "import time\ndef map(key, value):\n    time.sleep(0.3)\n    return [(word, 1) for word in value.split()]\n"
REDUCE = "\ndef reduce(key, values):\n    return sum(values)\n"
WORDS = Counter(word for line in LINES for word in line.split())
WAIT_S = 120


def made(folder: Path, code: str, settings: str = 'assignment = "words"\n') -> tuple[Path, Path]:
    """A submission of that program, and the course with its text."""
    source = folder / "source"
    source.mkdir()
    (source / "mapreduce.py").write_text(code)
    (source / "submission.toml").write_text(f'kind = "mapreduce"\n{settings}')
    (folder / "lines.txt").write_text("\n".join(LINES) + "\n")
    (folder / "expected.json").write_text(json.dumps({"cucumber": 1}))
    return source, Path(shutil.copy(COURSE, folder / "course.toml"))


def ran(folder: Path, code: str, settings: str = 'assignment = "words"\n') -> Finished:
    source, course = made(folder, code, settings)
    return submit(source, folder / "run", "--sandbox", "process", course=course)


def runners(folder: Path) -> list[psutil.Process]:
    """The processes of this run that student code runs in."""
    with suppress(OSError, ValueError, KeyError, psutil.NoSuchProcess):
        below = psutil.Process(json.loads((folder / "servers.json").read_text())["pid"]).children(recursive=True)
        return [one for one in below if is_runner(one)]
    return []


def is_runner(process: psutil.Process) -> bool:
    """Its parent in the sandbox, which relays, has the same words in its command, as have those above."""
    with suppress(psutil.NoSuchProcess):
        return "/opt/runner" in process.cmdline() and not process.children()
    return False


def test_a_straggler_and_a_killed_mapper_change_nothing(tmp_path: Path) -> None:
    source, course = made(tmp_path, SLOW_MAP + REDUCE)
    folder = tmp_path / "run"
    running = start("run", source, "--course", course, "--sandbox", "process", "--out", folder)
    deadline = time.monotonic() + WAIT_S
    while len(found := runners(folder)) < 4:
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    found[0].suspend()
    found[1].kill()
    output, _ = running.communicate(timeout=WAIT_S)

    assert running.returncode == 0, output
    result = json.loads((folder / "result.json").read_text())
    assert "200 words" in result["headline"]
    assert result["metrics"]["measures"]["attempts"] == 4 + 2 + 2
    assert counted(folder) == WORDS
    report = (folder / "report.html").read_text()
    assert "Invoked more than once" in report
    assert "another attempt was first" in report


def counted(folder: Path) -> dict[str, int]:
    pairs = dict(line.split("\t") for line in (folder / "output.txt").read_text().splitlines())
    return {json.loads(key): int(value) for key, value in pairs.items()}


def test_a_killed_coordinator_goes_on_and_makes_no_mapper_again_that_ended(tmp_path: Path) -> None:
    slow_at_last = MAP.replace("def map", "import time\ndef map").replace(
        "    for", "    time.sleep(1.5 if 'word39' in value else 0)\n    for"
    )
    source, course = made(tmp_path, slow_at_last + REDUCE)
    folder = tmp_path / "run"
    running = start("run", source, "--course", course, "--sandbox", "process", "--out", folder)
    wait_for(lambda: len(ended(folder)) >= 3, "three of the four mappers")
    running.kill()
    running.communicate()
    before = ended(folder)

    done = pipeline("resume", folder, out=folder)

    assert done.code == 0, done.output
    assert counted(folder) == WORDS
    assert {name: ended(folder)[name] for name in before} == before
    result = json.loads((folder / "result.json").read_text())
    assert result["metrics"]["measures"]["attempts"] == 4 + 2, "the mapper that was killed with it is no attempt"
    assert left_of(folder) == []


def ended(folder: Path) -> dict[str, list[str]]:
    """The activations of the calls that have ended."""
    calls: dict[str, Any] = execution(folder).get("calls", {})
    return {name: one["activations"] for name, one in calls.items() if one["ended"]}


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        (MAP.replace("value.split", "value.lower().split") + REDUCE, 10, "3 wrong|3 missing"),
        (MAP + "\ndef reduce(key, values):\n    while True:\n        pass\n", 11, "time limit"),
        (MAP + "\ndef reduce(key, values):\n    return 'x' * 2**21\n", 10, "a value has 2097154 bytes as JSON"),
    ],
    ids=["wrong", "never-ends", "too-large"],
)
def test_a_wrong_program_gets_a_clear_verdict(code: str, exit_code: int, said: str, tmp_path: Path) -> None:
    done = ran(tmp_path, code, 'assignment = "words"\nmappers = 1\nreducers = 1\n')
    assert done.code == exit_code, done.output
    assert any(words in done.output for words in said.split("|")), done.output


def test_a_hidden_text_is_printed_in_vain(tmp_path: Path) -> None:
    code = MAP.replace("for word", "print(value)\n    for word") + "\ndef reduce(key, values):\n    return int(key)\n"
    done = ran(tmp_path, code, 'assignment = "hidden"\n')
    assert done.code == 10, done.output
    assert "reduce-0: the function failed" in done.output
    readable = [path for path in done.folder.rglob("*") if path.is_file() and "private" not in path.parts]
    assert len(readable) > 10
    assert [path for path in readable if b"cucumber" in path.read_bytes()] == []
    assert "cucumber" not in done.output
    assert "cucumber" in (done.folder / "private" / "logs" / "map-0.log").read_text()
