"""Parameters of training and prediction: defaults, bounds, and every fault in one message."""

from __future__ import annotations

from typing import Any

import pytest

from runner.errors import ParameterError
from runner.parameters import PredictParameters, TrainParameters

LEGACY: dict[str, Any] = {
    "batch_sz_train": 32,
    "epoch_n": 8,
    "apihost": "http://172.17.0.2:29500/",
    "update_intv": 8,
    "dataset_url": "http://172.17.0.2:8000/dataset_dl_1.tar.gz",
    "device": "cpu",
}


def test_the_six_of_the_course_are_enough() -> None:
    parsed = TrainParameters.parse(LEGACY)
    assert parsed.apihost == "http://172.17.0.2:29500"
    assert (parsed.batch_sz_train, parsed.epoch_n, parsed.update_intv) == (32, 8, 8)
    assert (parsed.id, parsed.token, parsed.shard, parsed.seed) == ("0", "", 0, 0)
    assert (parsed.threads, parsed.max_steps, parsed.margin_s) == (1, 0, 10.0)


def test_numbers_may_come_as_text_and_an_id_as_a_number() -> None:
    parsed = TrainParameters.parse(LEGACY | {"epoch_n": "8", "id": 3, "margin_s": "2.5"})
    assert (parsed.epoch_n, parsed.id, parsed.margin_s) == (8, "3", 2.5)


def test_all_that_is_missing_and_all_that_is_wrong_is_said_at_once() -> None:
    given = {key: value for key, value in LEGACY.items() if key not in {"device", "epoch_n"}}
    with pytest.raises(ParameterError) as caught:
        TrainParameters.parse(given | {"apihost": "ftp://x", "batch_sz_train": "many"})
    assert caught.value.answer() == {
        "code": 500,
        "error": "No argument: epoch_n, device must be given. Wrong parameters: "
        "batch_sz_train must be a whole number from 1 to 65536, not str 'many'; "
        "apihost must be an http or https URL, not str 'ftp://x'",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch_n", 0),
        ("epoch_n", True),
        ("epoch_n", 1.5),
        ("epoch_n", 10**400),
        ("epoch_n", []),
        ("epoch_n", "٣"),
        ("dataset_url", "file:///etc/passwd"),
        ("dataset_url", "http://"),
        ("dataset_url", "http://h:99999/"),
        ("dataset_url", "http://h/\r\nX: y"),
        ("dataset_url", "http://h/" + "a" * 9000),
        ("device", "cpu\n"),
        ("id", "../x"),
        ("id", ""),
        ("token", "a\nb"),
        ("margin_s", float("nan")),
        ("margin_s", float("inf")),
        ("seed", -1),
        ("threads", 10_000),
    ],
)
def test_a_value_out_of_bounds_is_named(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^Wrong parameters: {name} must be ") as caught:
        TrainParameters.parse(LEGACY | {name: value})
    assert len(caught.value.message) < 200


def test_prediction_asks_for_its_three_urls() -> None:
    with pytest.raises(ParameterError, match="No argument: inputs_url, parameters_url, answer_url must be given"):
        PredictParameters.parse({"task": "predict"})


@pytest.mark.parametrize("jobs", [[], {}, "x", [1], [{}] * 101])
def test_jobs_that_are_no_list_of_objects_are_refused(jobs: object) -> None:
    with pytest.raises(ParameterError, match="jobs must be a list of 1 to 100 objects"):
        PredictParameters.parse({"inputs_url": "http://store/i", "jobs": jobs})


def test_what_a_job_of_the_list_lacks_is_named() -> None:
    with pytest.raises(ParameterError, match="No argument: answer_url must be given"):
        PredictParameters.parse({"inputs_url": "http://store/i", "jobs": [{"parameters_url": "http://store/p"}]})
