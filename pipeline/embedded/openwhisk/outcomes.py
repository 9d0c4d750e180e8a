"""What a container's replies mean: how an activation ended, in the words of the real server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pipeline.embedded.openwhisk.containers import ExitState, Reply
from pipeline.embedded.openwhisk.json_text import MalformedJsonError, parse

NO_RUN_REPLY = "The action did not produce a valid response and exited unexpectedly."
NO_INIT_REPLY = "The action did not initialize and exited unexpectedly."
OUT_OF_MEMORY = "The action exhausted its memory and was aborted."
TOO_MANY_PROCESSES = "The action started too many processes and was aborted."
CANCELLED = "The activation was cancelled."
NO_RESOURCES = "Failed to provision resources to run the action."
LOST = "The server was stopped while the activation ran."
INTERNAL = "The server failed while it ran the activation."


class Status(IntEnum):
    SUCCESS = 0
    APPLICATION_ERROR = 1
    DEVELOPER_ERROR = 2
    INTERNAL_ERROR = 3

    @property
    def text(self) -> str:
        return ("success", "application error", "action developer error", "whisk internal error")[self]


@dataclass(frozen=True)
class Outcome:
    """The response of an activation. `size` is that of the container's reply in bytes, None where there was none."""

    status: Status
    result: Any
    size: int | None = None
    timed_out: bool = False

    @property
    def keeps_container(self) -> bool:
        return self.status in (Status.SUCCESS, Status.APPLICATION_ERROR)

    def to_json(self) -> dict[str, Any]:
        size = {} if self.size is None else {"size": self.size}
        return {
            "result": self.result,
            **size,
            "status": self.status.text,
            "statusCode": int(self.status),
            "success": self.status is Status.SUCCESS,
        }


def developer_error(text: str, size: int | None = None, *, timed_out: bool = False) -> Outcome:
    return Outcome(Status.DEVELOPER_ERROR, {"error": text}, size, timed_out)


def internal_error(text: str) -> Outcome:
    return Outcome(Status.INTERNAL_ERROR, {"error": text})


def out_of_time(timeout_ms: int, *, initialising: bool) -> Outcome:
    during = " during initialization" if initialising else ""
    return developer_error(f"The action exceeded its time limits of {timeout_ms} milliseconds{during}.", timed_out=True)


def ended(exited: ExitState | None, *, initialising: bool) -> Outcome:
    """The container ended, or at least its connection did, without a reply."""
    if exited is not None and exited.killed_for == "memory":
        return developer_error(OUT_OF_MEMORY)
    if exited is not None and exited.killed_for == "processes":
        return developer_error(TOO_MANY_PROCESSES)
    return developer_error(NO_INIT_REPLY if initialising else NO_RUN_REPLY)


def of_init(reply: Reply, depth: int) -> Outcome | None:
    """None where the container is initialised, else how the activation ended."""
    if reply.status == 200:
        return None
    value = _value(reply, depth)
    if isinstance(value, dict) and "error" in value:
        return Outcome(Status.DEVELOPER_ERROR, {"error": value["error"]}, reply.length)
    text = reply.body.decode("utf-8", "replace")
    return developer_error(f"The action failed during initialization{': ' + text if text else '.'}", reply.length)


def of_run(reply: Reply, result_bytes: int, depth: int) -> Outcome:
    """How an activation ended whose container answered."""
    if reply.status == 204:
        return developer_error(NO_RUN_REPLY)
    if reply.length > result_bytes:
        return Outcome(
            Status.APPLICATION_ERROR if reply.status == 200 else Status.DEVELOPER_ERROR,
            {
                "error": f"The action produced a response that exceeded the allowed length: {reply.length} > "
                f"{result_bytes} bytes. The truncated response was: {reply.body.decode('utf-8', 'replace')}"
            },
            reply.length,
        )
    value = _value(reply, depth)
    if isinstance(value, dict) and "error" in value:
        status = Status.APPLICATION_ERROR if reply.status == 200 else Status.DEVELOPER_ERROR
        return Outcome(status, {"error": value["error"]}, reply.length)
    if reply.status == 200 and isinstance(value, dict | list):
        return Outcome(Status.SUCCESS, value, reply.length)
    text = reply.body.decode("utf-8", "replace")
    return developer_error(
        f"The action did not produce a valid JSON or JSON Array response{': ' + text if text else '.'}", reply.length
    )


def _value(reply: Reply, depth: int) -> Any:
    try:
        return parse(reply.body, depth=depth)
    except MalformedJsonError:
        return None
