"""The grid of an experiment, the order of its runs, and what is left of them when it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.experiments import experiment, failed, ran, timed

from pipeline.errors import UsageError
from pipeline.experiments.grid import axes_of, folder_of, memory_of, overrides_of, points_of, rounds, words_of
from pipeline.experiments.plan import refuse_other, refuse_other_keys, with_missing
from pipeline.experiments.record import load, save
from pipeline.experiments.running import seconds_left
from pipeline.experiments.trial import parallel_keys, refuse_memory
from pipeline.kinds.train import TrainJob

GRID = {"workers": (1, 2, 4), "memory_mb": (256, 512)}


def test_a_grid_is_every_combination_of_what_is_written() -> None:
    axes = axes_of("1,2,4", "256, 512", ["momentum=0.5", "mode=sync,async"])
    points = points_of(axes)
    assert list(axes) == ["workers", "memory_mb", "momentum", "mode"]
    assert len(points) == 12
    assert points[0] == {"workers": 1, "memory_mb": 256, "momentum": 0.5, "mode": "sync"}
    assert overrides_of(points[-1]) == (("workers", "4"), ("momentum", "0.5"), ("mode", "async"))
    assert memory_of(points[-1]) == 512
    assert points_of({}) == [{}]


@pytest.mark.parametrize(
    ("workers", "memory", "others", "named"),
    [
        ("1,two", "", [], "--workers 1,two"),
        ("", "256.5", [], "--memory 256.5"),
        ("", "", ["epochs"], "--set epochs"),
        ("", "", ["epochs="], "--set epochs="),
        ("1", "", ["workers=2"], "--set workers=2"),
        ("", "", ["x=[1]"], "--set x=[1]"),
    ],
)
def test_what_is_no_grid_is_named(workers: str, memory: str, others: list[str], named: str) -> None:
    with pytest.raises(UsageError) as raised:
        axes_of(workers, memory, others)
    assert [fault.where for fault in raised.value.faults] == [named]


def test_every_round_has_each_setting_once_in_an_order_of_its_own() -> None:
    points = points_of(GRID)
    order = rounds(points, 3, seed=7)
    for repeat in (1, 2, 3):
        own = [setting for number, setting in order if number == repeat]
        assert sorted(map(str, own)) == sorted(map(str, points))
    assert order == rounds(points, 3, seed=7)
    assert [one for _, one in order[:6]] != [one for _, one in order[6:12]]
    assert [one for _, one in rounds(points, 1, seed=8)] != [one for _, one in order[:6]]


def test_a_grid_too_large_to_end_is_refused() -> None:
    with pytest.raises(UsageError, match="more than 2000 runs"):
        rounds(points_of({"a": tuple(range(100)), "b": tuple(range(30))}), 1, seed=1)


def test_memory_that_no_function_can_have_is_refused_before_anything_runs() -> None:
    grid = points_of({"workers": (1, 2), "memory_mb": (64, 256, 512, 1024)})
    with pytest.raises(UsageError, match="no function can have") as raised:
        refuse_memory(grid, 512)
    assert [(one.where, one.message) for one in raised.value.faults] == [
        ("--memory 64", "a function may have 128 to 512 MB here"),
        ("--memory 1024", "a function may have 128 to 512 MB here"),
    ]
    refuse_memory(points_of({"workers": (1,), "memory_mb": (256, 1024)}), None)


def test_what_has_ended_stays_and_what_is_missing_is_numbered_on() -> None:
    wanted = rounds(points_of({"workers": (1, 2)}), 2, seed=7)
    fresh = with_missing((), wanted)
    assert [(one.number, one.repeat, one.status) for one in fresh] == [
        (1, 1, "planned"),
        (2, 1, "planned"),
        (3, 2, "planned"),
        (4, 2, "planned"),
    ]
    done = (
        ran(1, 1, fresh[0].setting, 3.0),
        failed(fresh[1], "memory", "execute: it used more memory than its action has"),
        *fresh[2:],
    )
    again = with_missing(done, wanted)
    assert again[:2] == done[:2]
    assert [(one.number, one.repeat, one.setting) for one in again] == [
        (one.number, one.repeat, one.setting) for one in fresh
    ]
    more = with_missing(done, rounds(points_of({"workers": (1, 2, 4)}), 3, seed=7))
    assert len(more) == 9
    assert len({one.folder for one in more}) == 9


def test_an_experiment_comes_back_from_its_file(tmp_path: Path) -> None:
    whole = timed(lambda setting, repeat: 10.0 + repeat, {**GRID, "mode": ("sync",), "rate": (0.5,)})
    save(tmp_path, whole)
    assert load(tmp_path) == whole
    assert load(tmp_path / "nowhere") is None
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(UsageError, match="not an experiment"):
        load(tmp_path)


def test_another_submission_or_other_keys_are_refused(tmp_path: Path) -> None:
    kept = timed(lambda setting, repeat: 1.0, {"workers": (1, 2)})
    refuse_other(kept, kept, tmp_path)
    with pytest.raises(UsageError, match="the submission has changed since"):
        refuse_other(kept, kept.model_copy(update={"tree_sha256": "cd" * 32}), tmp_path)
    with pytest.raises(UsageError, match="over workers, this is over mappers"):
        refuse_other_keys(kept, {"mappers": (1,)}, tmp_path)


def test_the_time_left_goes_by_runs_of_the_same_setting() -> None:
    settings = [{"workers": 1}, {"workers": 2}]
    fresh = with_missing((), [(1, settings[0]), (1, settings[1]), (2, settings[0])])
    assert seconds_left(experiment(fresh)) is None
    first = ran(1, 1, settings[0], 5.0)
    second = ran(2, 1, settings[1], 25.0)
    assert seconds_left(experiment((first, *fresh[1:]))) == 20.0
    assert seconds_left(experiment((first, second, fresh[2]))) == 10.0


def test_keys_that_change_how_many_functions_run_are_found() -> None:
    settings = points_of({"workers": (1, 2), "epochs": (1, 2)})
    jobs = [TrainJob.model_validate(one) for one in settings]
    assert parallel_keys(settings, jobs) == ("workers",)


def test_a_setting_in_words_and_as_a_folder() -> None:
    assert words_of({"workers": 1, "memory_mb": 256}) == "1 worker, 256 MB"
    assert words_of({"workers": 4, "batch_size": 32, "nesterov": True}) == "4 workers, batch size 32, nesterov true"
    assert words_of({"workers": 4, "memory_mb": 256}, ["memory_mb"]) == "256 MB"
    assert words_of({}) == "as the submission sets it"
    assert folder_of(7, {"workers": 4, "memory_mb": 256}) == "07-workers-4-memory-256"
    assert folder_of(8, {"entry": "../../x y"}) == "08-entry-..-..-x-y"
    assert folder_of(9, {}) == "09"
