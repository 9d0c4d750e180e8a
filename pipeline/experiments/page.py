"""`experiment.html` with its plots, `experiment.csv`, `experiment.json`; no script, no inline style, as in a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.experiments.answers import with_answers
from pipeline.experiments.grid import words_of, written
from pipeline.experiments.plan import RUNS
from pipeline.experiments.plots import Plot, draw, files
from pipeline.experiments.record import Experiment, MeasuredRun, save
from pipeline.experiments.tables import as_csv, percent, status_of, tables
from pipeline.figures import KeyFigure
from pipeline.files import write_bytes, write_text
from pipeline.reporting.html import STYLESHEET, environment, stylesheet
from pipeline.reporting.text import shown
from pipeline.reporting.words import seconds

PAGE = "experiment.html"
TABLE = "experiment.csv"
PLOTS = "plots"


def write_page(folder: Path, experiment: Experiment) -> Experiment:
    """Writes all that is read of an experiment, as far as it has come; the experiment with its answers."""
    experiment = with_answers(experiment)
    save(folder, experiment)
    plots = draw(experiment)
    for name, content in files(plots).items():
        write_bytes(folder / PLOTS / name, content)
    write_text(folder / TABLE, as_csv(experiment))
    write_bytes(folder / STYLESHEET, stylesheet())
    write_text(folder / PAGE, page(experiment, plots))
    return experiment


def page(experiment: Experiment, plots: list[Plot]) -> str:
    """The page. Texts of a student's are made printable here and escaped by the template."""
    return (
        environment()
        .get_template("experiment.html.j2")
        .render(
            experiment=experiment,
            title=shown(experiment.title or experiment.assignment, 200),
            source=shown(experiment.source, 300),
            key_figures=key_figures(experiment),
            plots=plots,
            tables=tables(experiment),
            runs=[run_row(one, experiment) for one in experiment.runs],
            keys=experiment.varied,
            made=provenance(experiment),
            stylesheet=STYLESHEET,
        )
    )


def key_figures(experiment: Experiment) -> list[KeyFigure]:
    ended = [one for one in experiment.runs if one.status != "planned"]
    failed = sum(one.status == "failed" for one in ended)
    note = f"{failed} failed" if failed else f"{experiment.repeat} of each setting"
    found = [KeyFigure(label="Runs", value=f"{len(ended)} of {len(experiment.runs)}", note=note)]
    by_setting = {tuple(one.setting.items()): one for one in experiment.points}
    if experiment.fastest is not None:
        point = by_setting[tuple(experiment.fastest.items())]
        value = seconds(point.figures["seconds"].median)
        found.append(KeyFigure(label="Fastest", value=value, note=words_of(point.setting, experiment.varied or None)))
    sped = [one for one in experiment.points if one.speed_up is not None]
    if len(sped) > 1:
        point = max(sped, key=lambda one: one.speed_up.median if one.speed_up else 0.0)
        value = f"{point.speed_up.median:.2f}" if point.speed_up else ""
        found.append(KeyFigure(label="Best speed-up", value=value, note=words_of(point.setting, experiment.varied)))
    if experiment.cheapest is not None:
        point = by_setting[tuple(experiment.cheapest.items())]
        value = f"{point.figures['gb_seconds'].median:.3g} GB-s"
        found.append(KeyFigure(label="Cheapest", value=value, note=words_of(point.setting, experiment.varied or None)))
    return found


def run_row(run: MeasuredRun, experiment: Experiment) -> dict[str, Any]:
    report = f"{RUNS}/{quote(run.folder)}/report.html"
    return {
        "number": run.number,
        "link": report if run.status != "planned" else "",
        "cells": [written(run.setting[key]) for key in experiment.varied],
        "repeat": run.repeat,
        "seconds": seconds(run.figures.seconds),
        "busy": [
            percent(one) for one in (run.load.before_percent, run.figures.host_cpu_percent, run.load.after_percent)
        ],
        "status": status_of(run),
        "good": run.outcome == "passed",
        "reason": shown(
            "; ".join(filter(None, [run.reason, f"first try: {run.first_try}" if run.first_try else ""])), 300
        ),
    }


def provenance(experiment: Experiment) -> list[tuple[str, list[str]]]:
    machine = experiment.machine
    isolation = experiment.isolation.value if experiment.isolation else "not probed"
    rows = [
        ("Begun", [f"{experiment.created:%Y-%m-%d %H:%M:%S %Z}"]),
        ("Source", [experiment.source, experiment.commit or "no clean git checkout", experiment.tree_sha256]),
        ("Assignment", [f"{experiment.assignment}, practice; kind {experiment.kind}"]),
        ("Fixed", [words_of(experiment.fixed)] if experiment.fixed else []),
        ("Machine", [f"{machine.processors} processors, {machine.memory_mb} MB", machine.processor, machine.system]),
        ("Sandbox", [f"{experiment.sandbox.value}, isolation: {isolation}", *experiment.unenforced]),
        ("Order", [f"each setting once in a random order, then all again; seed {experiment.order_seed}"]),
    ]
    clean = [(label, [shown(line, 300) for line in lines if line]) for label, lines in rows]
    return [(label, lines) for label, lines in clean if lines]
