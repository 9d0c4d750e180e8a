"""The page of an experiment: it answers the labs' questions, hides no failure, and holds to Jenkins' policy."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from jsonschema import validate
from support.experiments import experiment, failed, ran, timed

from pipeline.errors import Outcome
from pipeline.experiments.answers import answers
from pipeline.experiments.page import write_page
from pipeline.experiments.plots import PLOTS, draw, drawn, files
from pipeline.experiments.record import Experiment, load, schema_text
from pipeline.experiments.tables import as_csv, ranged
from pipeline.reporting.palette import SETTINGS
from pipeline.reporting.words import seconds

HOSTILE = "<script>alert(1)</script>\x1b[31m =cmd()"
TIMES = {1: 40.0, 2: 22.0, 4: 16.0}


@pytest.fixture(scope="module")
def whole() -> Experiment:
    axes = {"workers": (1, 2, 4), "memory_mb": (256, 512)}
    return timed(lambda setting, repeat: TIMES[int(setting["workers"])] + repeat, axes)


@pytest.fixture(scope="module")
def folder(whole: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the page, written once: drawing takes seconds."""
    place = tmp_path_factory.mktemp("experiment")
    write_page(place, whole)
    return place


def kept_in(folder: Path) -> Experiment:
    found = load(folder)
    assert found is not None
    return found


def test_the_labs_questions_are_answered(folder: Path) -> None:
    answered = {one.question: one.answer for one in kept_in(folder).answers}
    assert "4 workers, 256 MB: 18.0 s (17.0 s to 19.0 s in 3 runs)" in answered["How many workers are best?"]
    change = answered["How does the completion time change with workers?"]
    assert "With 256 MB: 42.0 s with 1 worker, 18.0 s with 4 workers, a speed-up of 2.33" in change
    assert "efficiency 58 %" in change
    assert "25 % of the functions' time" in answered["What share is execution, and what communication?"]
    assert "103 MB" in answered["How much memory does each function use?"]
    effect = answered["How do memory and CPU settings change the time?"]
    assert "With 4 workers, from 256 to 512 MB the time changed by +0 %, which is within the spread" in effect
    assert "A larger limit buys no CPU here." in effect
    assert answered["Which setting is the cheapest?"].startswith("4 workers, 256 MB: 9.25 GB-s")


def test_all_of_it_lies_in_the_folder_and_holds_to_its_schema(folder: Path) -> None:
    page = (folder / "experiment.html").read_text()
    validate(json.loads((folder / "experiment.json").read_text()), json.loads(schema_text()))
    for link in re.findall(r'(?:src|href)="(plots/[^"]+|[a-z]+\.(?:css|csv|json))"', page):
        assert (folder / link).stat().st_size > 0
    assert not re.search(r"<script|<style|style=|onload=", page)
    names = "time speed-up split memory cpu cpu-percent machine cost cost-and-time"
    assert {one.stem for one in (folder / "plots").iterdir()} == set(names.split())


def test_the_plots_say_what_they_show_and_are_the_same_each_time(whole: Experiment, folder: Path) -> None:
    for name, content in files(draw(whole)).items():
        assert (folder / "plots" / name).read_bytes() == content
    time = (folder / "plots" / "time.svg").read_text()
    for words in ("Completion time", "word-count-program", "seconds", "workers", "256 MB", "512 MB"):
        assert f">{words}<" in time
    assert "style=" not in time
    assert (folder / "plots" / "time.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_cannot_show_all_says_so_in_the_picture_and_below() -> None:
    many = timed(lambda setting, repeat: 10.0, {"workers": (1, 2), "batch_size": tuple(range(1, 14))})
    of = {one.name: one for one in PLOTS}
    with mpl.rc_context(SETTINGS):
        time, split = (drawn(of[name], many) for name in ("time", "split"))
    assert b">word-count-program, 6 of 13 series shown<" in time.svg
    assert time.caption.endswith("Only 6 of 13 series shown; the table below has all.")
    assert b"24 of 26 settings shown<" in split.svg


def test_workers_of_a_function_that_runs_alone_are_said_to_decide_nothing(whole: Experiment) -> None:
    alone = timed(lambda setting, repeat: 1.0 / setting["workers"], {"workers": (1, 2)}, parallel=())
    said = "Workers decide nothing here"
    assert said in list(answers(alone))[-1].answer
    assert said not in list(answers(whole))[-1].answer


def test_failures_and_a_busy_machine_are_shown_not_hidden(tmp_path: Path) -> None:
    dead = failed(ran(1, 1, {"memory_mb": 128}, 1.0), "memory", f"execute: it used more memory than {HOSTILE}")
    busy = ran(2, 1, {"memory_mb": 256}, 9.0)
    busy = busy.model_copy(update={"load": busy.load.model_copy(update={"before_percent": 64.0}), "first_try": "lost"})
    kept = write_page(tmp_path, experiment([dead, busy], title=HOSTILE, source=HOSTILE))
    page = (tmp_path / "experiment.html").read_text()
    caveats = kept.answers[-1].answer
    assert "1 of 2 runs failed (memory)" in caveats
    assert "64 % at most" in caveats
    for words in ("failed: memory", "1 failed: memory", "first try: lost", 'href="runs/01-memory-128/report.html"'):
        assert words in page
    assert "<script" not in page and "\x1b" not in page


def test_an_experiment_without_a_measured_run_has_a_page_too(tmp_path: Path) -> None:
    dead = failed(ran(1, 1, {}, 1.0), "error", "check: a fault", Outcome.FAILED)
    assert "No run was measured" in write_page(tmp_path, experiment([dead])).answers[0].answer


def test_the_csv_has_a_row_for_each_run_and_no_formula(whole: Experiment) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(whole))))
    assert len(rows) == 18
    assert (rows[0]["workers"], rows[0]["memory_mb"], rows[0]["seconds"]) == ("1", "256", "41.0")
    assert rows[0]["folder"] == "runs/01-workers-1-memory-256"
    dead = failed(ran(1, 1, {"mode": "=1+1"}, 1.0), "error", "=cmd()", Outcome.FAILED)
    row = next(csv.DictReader(io.StringIO(as_csv(experiment([dead])))))
    assert (row["mode"], row["reason"], row["seconds"]) == ("'=1+1", "'=cmd()", "")


def test_a_spread_is_written_with_one_unit(whole: Experiment) -> None:
    spread = whole.points[0].figures["seconds"]
    assert ranged(spread, seconds) == "42.0 (41.0–43.0) s"
    assert ranged(None, seconds) == "–"
