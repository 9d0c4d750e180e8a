"""The Jenkinsfile, run as Declarative runs it: whose failure makes which result, what is stopped, and what published.

The builds are real but for Jenkins: tests/jenkins/*.groovy stands in for it, and `pipeline` is a stand-in too, except
in the tests that say so.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import stand_in_pipeline
from support.jenkinsfile import JENKINSFILE, ROOT, Agent, Build, agent, require, run_all, stop
from support.reports import assignment, record

from pipeline.run import STAGE_NAMES, StageRecord

PUBLISHED = [f"report/{name}" for name in ("junit.xml", "report.css", "report.html", "result.json")]
ID = "0123456789abcdef" * 2
PARAMETERS = {
    "SUBMISSION_ID": ID,
    "COURSE": "ml-2026",
    "ASSIGNMENT": "mnist-train",
    "STUDENT": "ada",
    "REPOSITORY": "/srv/git/ml-2026/ada.git",
    "COMMIT": "c0" * 20,
    "ARRIVED": "2026-08-01T12:15:00+02:00",
    "ATTEMPT": "2",
}


@dataclass
class Bench:
    """Makes builds whose `pipeline` is the stand-in, and ends those that a test leaves."""

    folder: Path
    builds: list[Build]

    def agent(self, name: str = "agent-1", **plan: str) -> Agent:
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "pipeline"
        program.write_text(f"#!{sys.executable} -I\n{Path(stand_in_pipeline.__file__).read_text()}")
        program.chmod(0o755)
        begun = record(
            assignment(), stages=tuple(StageRecord(name=each) for each in STAGE_NAMES), collected=False, executed=None
        )
        (self.folder / "template.json").write_text(begun.model_dump_json())
        own = {"PLAN": json.dumps(plan), "CALLS": str(self.folder / "calls"), "PYTHONPATH": str(ROOT)}
        return agent(self.folder, name, programs=programs, TEMPLATE=str(self.folder / "template.json"), **own)

    def build(self, *agents: Agent, **changes: Any) -> Build:
        number = len(self.builds) + 1
        parameters = PARAMETERS | changes.pop("parameters", {})
        made = Build(self.folder / f"build-{number}", parameters, agents, number=number, **changes)
        self.builds.append(made)
        return made

    def calls(self, first: str = "") -> list[str]:
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(first)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    require()
    made = Bench(tmp_path, [])
    yield made
    for build in made.builds:
        if build.process is not None:
            stop(build.process, [build])


def until(happened: Callable[[], bool], what: str, patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.05)


PLANS: dict[str, dict[str, str]] = {
    "passed": {},
    "student": {"check": "failed"},
    "limit": {"execute": "limit"},
    "points": {"report": "failed"},
    "infrastructure": {"build": "infrastructure"},
    "course": {"check": "course"},
    "crash": {"execute": "exit before 1"},
    "crash in the report": {"report": "exit after 1"},
    "killed": {"fetch": "exit before 137"},
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Bench, Build]]:
    """A build of each plan, all in one Java machine."""
    require()
    benches = {name: Bench(tmp_path_factory.mktemp(name.split()[0]), []) for name in PLANS}
    builds = {name: bench.build(bench.agent(**PLANS[name])) for name, bench in benches.items()}
    run_all(list(builds.values()))
    return {name: (benches[name], builds[name]) for name in PLANS}


def test_a_run_that_passes(ended: dict[str, tuple[Bench, Build]]) -> None:
    _, build = ended["passed"]
    assert build.result == "SUCCESS", build.console
    assert set(build.stages.values()) == {"SUCCESS"}
    assert [name for name in build.stages if name in STAGE_NAMES] == list(STAGE_NAMES)
    assert build.state["displayName"] == "#1 ada 95 of 100 points", build.console
    assert build.state["published"]["html"] == {"name": "Report", "file": "report/report.html"}
    # a check that was missed costs points, and must not make the build unstable by itself
    assert build.state["published"]["junit"] == {"total": 2, "failed": 1}
    assert build.state["published"]["archived"] == PUBLISHED
    assert not Path(build.agents[0].workspace).exists()


def test_the_first_stage_says_all_about_the_submission(ended: dict[str, tuple[Bench, Build]]) -> None:
    bench, build = ended["passed"]
    runs, courses = (build.agents[0].environment[name] for name in ("PIPELINE_RUNS", "PIPELINE_COURSES"))
    assert bench.calls("stage fetch") == [
        f"stage fetch --out {runs}/{ID} --id {ID} --course {courses}/ml-2026/course.toml --assignment mnist-train "
        f"--student ada --ref {'c0' * 20} --arrived 2026-08-01T12:15:00+02:00 --attempt 2 -- /srv/git/ml-2026/ada.git"
    ]


@pytest.mark.parametrize(
    ("plan", "result", "skipped", "shown"),
    [
        ("student", "UNSTABLE", STAGE_NAMES[2:8], ("check", "UNSTABLE")),
        ("limit", "UNSTABLE", (), ("execute", "UNSTABLE")),
        ("points", "UNSTABLE", (), ("report", "UNSTABLE")),
        ("infrastructure", "FAILURE", STAGE_NAMES[4:8], ("build", "FAILURE")),
        ("course", "FAILURE", STAGE_NAMES[2:8], ("check", "FAILURE")),
    ],
)
def test_whose_fault_it_was_makes_the_result(
    ended: dict[str, tuple[Bench, Build]], plan: str, result: str, skipped: tuple[str, ...], shown: tuple[str, str]
) -> None:
    _, build = ended[plan]
    assert build.result == result, build.console
    assert tuple(name for name in STAGE_NAMES if build.stages[name] == "SKIPPED") == skipped
    assert build.stages[shown[0]] == shown[1]
    assert "report/report.html" in build.state["published"]["archived"]
    assert next(iter(PLANS[plan].values())) in build.state["description"]


@pytest.mark.parametrize("plan", ["crash", "crash in the report", "killed"])
def test_an_exit_code_without_a_record_that_fits_is_infrastructure(
    ended: dict[str, tuple[Bench, Build]], plan: str
) -> None:
    _, build = ended[plan]
    assert build.result == "FAILURE", build.console


def test_without_the_program_it_is_infrastructure(bench: Bench) -> None:
    home = bench.agent()
    (bench.folder / "bin" / "pipeline").unlink()
    build = bench.build(Agent(home.name, home.workspace, dict(home.environment) | {"PATH": "/usr/bin:/bin"})).run()
    assert build.result == "FAILURE", build.console


def test_an_agent_without_folders_is_named(bench: Bench) -> None:
    home = bench.agent()
    bare = {name: value for name, value in home.environment.items() if name != "PIPELINE_RUNS"}
    build = bench.build(Agent(home.name, home.workspace, bare)).run()
    assert build.result == "FAILURE"
    assert "the agent names no folder of runs" in build.console
    assert bench.calls() == []


def test_an_aborted_build_cancels_its_run_and_publishes_what_there_is(bench: Bench) -> None:
    home = bench.agent(execute="sleep")
    build = bench.build(home).start()
    run = Path(home.environment["PIPELINE_RUNS"]) / ID
    until((run / "asleep").exists, "the stage at work")
    build.ask("abort")
    build.wait()
    assert build.result == "ABORTED", build.console
    assert bench.calls("cancel") == [f"cancel {run}"]
    assert build.stages["execute"] == "ABORTED"
    assert build.stages["report"] == "SKIPPED"
    assert "report/report.html" in build.state["published"]["archived"]
    assert not home.workspace.exists()


def test_a_build_that_takes_too_long_is_aborted(bench: Bench) -> None:
    build = bench.build(bench.agent(execute="sleep"), hour_ms=700).run()
    assert build.result == "ABORTED", build.console
    assert len(bench.calls("cancel")) == 1


def test_a_lost_agent_is_replaced_and_the_run_begins_there_with_its_id(bench: Bench) -> None:
    lost, other = bench.agent(execute="sleep"), bench.agent("agent-2")
    build = bench.build(lost, other).start()
    until((Path(lost.environment["PIPELINE_RUNS"]) / ID / "asleep").exists, "the stage at work")
    build.ask("lose")
    build.wait()
    assert json.loads((Path(other.environment["PIPELINE_RUNS"]) / ID / "record.json").read_text())["run"] == ID
    assert build.state["displayName"] == "#1 ada 95 of 100 points", build.console
    assert "report/report.html" in build.state["published"]["archived"]


def test_nothing_but_a_lost_agent_is_tried_again(bench: Bench) -> None:
    bench.build(bench.agent(build="infrastructure"), bench.agent("agent-2")).run()
    assert len(bench.calls("stage build")) == 1


HOSTILE = {
    "SUBMISSION_ID": ["", "../" * 10 + "etc", "-" * 32, ID + "\n", ID.upper(), ID[:-1], "$(id)", ID + "/.."],
    "COURSE": ["", "..", "ml/../../etc", "-ml", "ml-", "a" * 64, "ml\nx", "`id`", "ＭＬ", "ml;id", "ml course"],
    "ASSIGNMENT": ["", "--help", "a'b", 'a"b', "a$b", "ä"],
    "STUDENT": ["", "ada;id", "ada && id", "ada\x00", "ada\u202e", "-ada", "ada'\"", "$HOME", "${env.PATH}", "ada\r\n"],
    "REPOSITORY": [
        "", "-oProxyCommand=id", "ext::sh -c id", "file:///etc", "/srv/../etc", "/srv/./x", "relative/x", "//x",
        "https://user:secret@host/x", "https://host/x y", "ssh://-oProxyCommand=id/x", "https://host", "/srv/$(id)",
        "/srv/-x", "https://host/x?y=1", "/srv/x\n/y", "javascript:alert(1)",
    ],
    "COMMIT": ["", "main", "HEAD", "c0" * 19, "c0" * 20 + " ", "--upload-pack=id", "C0" * 20, "c0" * 33],
    "ARRIVED": ["", "2026-08-01", "2026-08-01T12:15:00", "now", "2026-08-01T12:15:00+02:00; id", "\n"],
    "ATTEMPT": ["", "0", "-1", "1e3", "99999", "1;id", "٣", "1\n"],
}  # fmt: skip


def test_hostile_parameters_stop_in_the_first_stage(bench: Bench) -> None:
    home = bench.agent()
    cases = [(name, value) for name, values in HOSTILE.items() for value in values]
    builds = [bench.build(home, parameters={name: value}) for name, value in cases]
    run_all(builds)
    stages = {"parameters": "FAILURE", **dict.fromkeys(("submission", *STAGE_NAMES), "SKIPPED")}
    for (name, value), build in zip(cases, builds, strict=True):
        assert (build.result, build.stages) == ("FAILURE", stages), (name, value)
        assert f"parameter {name} " in build.console
        assert "[Pipeline] sh" not in build.console
    assert bench.calls() == []


def test_parameters_that_are_in_order_pass(bench: Bench) -> None:
    home = bench.agent(fetch="failed")
    fine = {
        "REPOSITORY": [
            "https://git.example:8443/ml/ada.git",
            "ssh://git@git.example:22/ml/ada.git",
            "/srv/git/a_b.git",
        ],
        "ARRIVED": ["2026-08-01T10:15:00Z", "2026-08-01T10:15:00.123456+00:00"],
        "COMMIT": ["ab" * 32],
        "STUDENT": ["a", "team-7"],
    }
    builds = [bench.build(home, parameters={name: value}) for name, values in fine.items() for value in values]
    run_all(builds)
    assert {build.stages["parameters"] for build in builds} == {"SUCCESS"}


WHEN = "when { expression { env.STOPPED_AT == 'nowhere' } }"
CHECK = "'pipeline stage check --out \"$PIPELINE_RUNS/$SUBMISSION_ID\"'"


UNKNOWN = [
    ("options {", "tools { jdk 'x' }\n    options {", "pipeline knows no tools"),
    ("timestamps()", "quietPeriod(5)", "options knows no quietPeriod"),
    ("time: 6", "hours: 6", "timeout knows no hours"),
    ("script { settle() }", "emailext to: 'x'", "there is no step emailext"),
    ("cleanWs notFailBuild: true", "cleanWs everything: true", "cleanWs knows no everything"),
    ("aborted {", "abort {", "post knows no abort"),
    (WHEN, "when { branch 'main' }", "when is not one expression"),
    (CHECK, '"pipeline stage ${params.STUDENT}"', "sh takes a text in single quotes only"),
    (CHECK, "'pipeline stage ' + params.STUDENT", "sh takes a text in single quotes only"),
    ("error 'stage '", "new File('x') + 'stage '", "new"),
    (".split('\\n')", ".execute()", "the sandbox is not known to allow .execute()"),
    ("stage('push')", "stage('build')", "two stages are named build"),
    ("currentBuild.result =", "currentBuild.rawBuild =", "there is no currentBuild.rawBuild"),
    ("cleanWs not", "int x = 1\ncleanWs not", "there is no step in this statement"),
    ("label 'submission'", "label 'submission'\nlabel 'other'", "node has more than one label"),
]


def test_words_that_the_harness_does_not_know_are_refused(tmp_path: Path) -> None:
    require()
    text, builds = JENKINSFILE.read_text(), []
    for number, (old, new, _) in enumerate(UNKNOWN):
        assert old in text
        file = tmp_path / f"Jenkinsfile-{number}"
        file.write_text(text.replace(old, new, 1))
        builds.append(Build(tmp_path / str(number), PARAMETERS, [], jenkinsfile=file))
    run_all(builds)
    for (_, new, said), build in zip(UNKNOWN, builds, strict=True):
        assert any(said in one for one in build.refused), (new, build.refused)


def test_every_stage_is_one_call_of_its_name() -> None:
    text = JENKINSFILE.read_text()
    assert re.findall(r"pipeline stage (\w+)", text.split("pipeline {", 1)[1]) == list(STAGE_NAMES)
    assert "${" not in re.sub(r"\$\{PIPELINE_\w+:\?[^}]*\}", "", text)
    assert os.access(JENKINSFILE, os.R_OK)
