"""Jobs that call functions, whose coordinator is killed again and again: the same answer, and everything counts once.

Each run survives several deaths in a row, since each one needs its beginning only to get to the next.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from support.calling import COURSE, INVOKES, LOOKS, MortalJob
from support.deaths import of_first, passed
from support.killing import execution
from support.ready_process import ReadyProcess

from pipeline.embedded.client import reap

Begun = Callable[[str], MortalJob]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyProcess]:
    process = ReadyProcess(tmp_path_factory.mktemp("ready") / "output")
    yield process
    process.end()


@pytest.fixture
def job(ready: ReadyProcess, tmp_path: Path) -> Iterator[Begun]:
    yield lambda assignment: MortalJob(ready, tmp_path, assignment)
    reap(tmp_path / "run" / "servers.json")


def test_a_map_reduce_whose_coordinator_is_killed_in_each_phase_counts_everything_once(
    job: Begun, tmp_path: Path
) -> None:
    """With a mapper that is not noted yet, between mappers, between the phases, between reducers, while collecting."""
    words, log = job("words"), tmp_path / "points"
    words.begin("rename execution.json#3", log)
    *_, last_asked = (one.name for one in of_first(passed(log)) if one.name.startswith("request"))
    assert words.calls == {} and fnmatch(last_asked, f"{INVOKES}-map"), "invoked, and nobody knows"
    words.goes_on(f"{INVOKES}-map#2")
    words.goes_on(f"{INVOKES}-reduce#1")
    assert len(words.ended) == 3
    words.goes_on(f"{INVOKES}-reduce#2")
    words.goes_on("rename output.txt")

    result = words.ends()

    assert (result["outcome"], result["points"]) == ("passed", 1)
    lines = (words.folder / "output.txt").read_text().splitlines()
    counted = {json.loads(key): int(value) for key, _, value in (line.partition("\t") for line in lines)}
    assert counted == Counter(COURSE.read_text().split())
    measures = result["metrics"]["measures"]
    assert measures["attempts"] == 3 + 2
    assert "the run was stopped, and went on" in (words.folder / "report.html").read_text()
    maps, reduces = list(words.records("map-")), list(words.records("reduce-"))
    assert measures["shuffle_bytes"] == sum(run[-1] for one in maps for run in one["result"]["runs"])
    on_the_clock = max(one["end"] for one in reduces) - min(one["start"] for one in maps)
    assert 0 < result["metrics"]["seconds"] < on_the_clock, "nobody worked on it for a while"


def test_blocks_of_a_killed_run_stay_and_its_waiting_worker_begins_anew(job: Begun) -> None:
    """With operands half stored, with a worker that has ended and one that has not, before that one's second life."""
    blocks = job("blocks")
    blocks.begin("request PUT /run-*/matrix/operands/*#3")
    blocks.goes_on("rename execution.json#5")
    assert not blocks.calls["worker-2"]["ended"]
    blocks.goes_on(INVOKES)
    blocks.go()

    result = blocks.ends()

    assert (result["outcome"], result["points"]) == ("passed", 1)
    assert [len(blocks.calls[f"worker-{one}"]["activations"]) for one in (1, 2)] == [1, 1]
    moved = 4 * 32 * 32 * 4 * 3  # of each block of the answer: two that it needs, and itself
    assert 0.5 * moved < result["metrics"]["measures"]["moved_mb"] * 1e6 < 1.1 * moved


def test_what_a_killed_case_had_invoked_is_neither_counted_nor_taken_from_what_the_program_may_invoke(
    job: Begun,
) -> None:
    """Killed while the case waits with its helpers done, before it is made again, and when it has ended, not noted."""
    program = job("program")
    program.begin(f"{LOOKS}#2")
    program.have_ended(2)
    program.goes_on(INVOKES)
    program.go()
    program.goes_on("request GET /api/v1/namespaces/_/activations#2")
    assert {name for name, one in program.calls.items() if one["ended"]} == {"first"}

    result = program.ends()

    assert (result["outcome"], result["points"]) == ("passed", 2)
    assert result["metrics"]["measures"]["invocations"] == 2 * (1 + 2)
    assert {"first.1", "first.2", "second.1", "second.2"} < program.ended.keys()


def test_a_measurement_that_a_kill_cut_short_is_made_whole_in_warm_containers(job: Begun) -> None:
    """Among the shown digits, in either phase, while answers are written: pictures count once, and no cold start."""
    digits = job("digits")
    digits.begin(f"{INVOKES}#5")
    digits.goes_on(f"{INVOKES}#10")
    assert len(digits.ended) == 10 and not execution(digits.folder)["kept"].get("phases")
    digits.goes_on(f"{INVOKES}#11")
    assert [one["name"] for one in execution(digits.folder)["kept"]["phases"]] == ["1 at once"]
    digits.goes_on("rename answers.json")

    result = digits.ends()

    assert (result["outcome"], result["points"]) == ("passed", 1)
    phases = execution(digits.folder)["kept"]["phases"]
    assert [(one["name"], len(one["calls"])) for one in phases] == [("1 at once", 4), ("2 at once", 6)]
    assert len({call["activation"] for one in phases for call in one["calls"]}) == 10
    assert [call["init_s"] for call in phases[0]["calls"]] == [None] * 4, "none of them waited for a container"
    answers = json.loads((digits.folder / "private" / "predictions" / "answers.json").read_text())
    assert [one["picture"] for one in answers] == list(range(10))


def test_a_measurement_that_meets_the_time_limit_leaves_those_before_it_in_the_report_and_no_grade(job: Begun) -> None:
    digits = job("digits")
    digits.begin(f"{INVOKES}#19")
    file = digits.folder / "private" / "execution.json"
    remembered = json.loads(file.read_text())
    assert [one["name"] for one in remembered["kept"]["phases"]] == ["1 at once"]
    file.write_text(json.dumps(remembered | {"seconds": 241.0}))

    result = digits.ends(11)

    assert (result["outcome"], result["points"], result["metrics"]["measures"]) == ("limit", 0, {})
    record = json.loads((digits.folder / "record.json").read_text())
    assert record["reason"] == "the job took longer than 240 s"
    report = (digits.folder / "report.html").read_text()
    assert "Latency and throughput" in report and "not measured: 2 at once" in report
    assert digits.ends(11) == result, "it is over"
