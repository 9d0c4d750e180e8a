"""What a container's reply makes of an activation."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.embedded.openwhisk import outcomes
from pipeline.embedded.openwhisk.containers import ExitState, Reply
from pipeline.embedded.openwhisk.outcomes import Status

LIMIT, DEPTH = 100, 50
NOT_JSON = "The action did not produce a valid JSON or JSON Array response"


def reply(body: bytes, status: int = 200) -> Reply:
    return Reply(status, {}, body[:LIMIT], len(body))


@pytest.mark.parametrize(
    ("body", "status", "expected", "result"),
    [
        (b'{"a": 1}', 200, Status.SUCCESS, {"a": 1}),
        (b"[]", 200, Status.SUCCESS, []),
        (b'{"error": null, "more": 1}', 200, Status.APPLICATION_ERROR, {"error": None}),
        (b'{"error": "e"}', 502, Status.DEVELOPER_ERROR, {"error": "e"}),
        (b"7", 200, Status.DEVELOPER_ERROR, {"error": f"{NOT_JSON}: 7"}),
        (b"", 200, Status.DEVELOPER_ERROR, {"error": f"{NOT_JSON}."}),
        (b'{"a": NaN}', 200, Status.DEVELOPER_ERROR, {"error": NOT_JSON + ': {"a": NaN}'}),
        (b'{"a": 1}', 201, Status.DEVELOPER_ERROR, {"error": NOT_JSON + ': {"a": 1}'}),
        (b"", 204, Status.DEVELOPER_ERROR, {"error": outcomes.NO_RUN_REPLY}),
        (b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}", 200, Status.DEVELOPER_ERROR, None),
    ],
)
def test_a_reply_to_run(body: bytes, status: int, expected: Status, result: Any) -> None:
    outcome = outcomes.of_run(reply(body, status), 1000, DEPTH)
    assert outcome.status is expected
    assert result is None or outcome.result == result
    assert outcome.keeps_container == (expected in (Status.SUCCESS, Status.APPLICATION_ERROR))


def test_a_result_that_is_too_large_is_cut_and_keeps_the_container() -> None:
    outcome = outcomes.of_run(reply(b'"' + b"x" * 200), LIMIT, DEPTH)
    assert outcome.result["error"].startswith(
        "The action produced a response that exceeded the allowed length: 201 > 100"
    )
    assert outcome.result["error"].endswith('response was: "' + "x" * 99)
    assert outcome.keeps_container


def test_init_that_fails_says_why() -> None:
    assert outcomes.of_init(reply(b"anything"), DEPTH) is None
    told = outcomes.of_init(reply(b'{"error": "no main"}', 502), DEPTH)
    assert told is not None
    assert told.result == {"error": "no main"}
    untold = outcomes.of_init(reply(b"oops", 500), DEPTH)
    assert untold is not None
    assert untold.result == {"error": "The action failed during initialization: oops"}


@pytest.mark.parametrize(
    ("exited", "text"),
    [
        (None, outcomes.NO_RUN_REPLY),
        (ExitState(1), outcomes.NO_RUN_REPLY),
        (ExitState(-9, "memory"), "The action exhausted its memory and was aborted."),
        (ExitState(-9, "processes"), outcomes.TOO_MANY_PROCESSES),
    ],
)
def test_an_end_without_a_reply_names_its_reason(exited: ExitState | None, text: str) -> None:
    assert outcomes.ended(exited, initialising=False).result == {"error": text}
