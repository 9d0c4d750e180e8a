"""Limits of an action: memory, time, logs, concurrency, instances; each checked by itself, merged by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipeline.embedded.openwhisk.errors import malformed, refused
from pipeline.embedded.openwhisk.settings import Settings

FIELDS = {"memory": "memory", "timeout": "time", "logs": "log", "concurrency": "concurrency", "instances": "instance"}
SIZES = ("memory", "logs")


@dataclass(frozen=True)
class ActionLimits:
    """Memory and logs in MB, the timeout in milliseconds."""

    memory: int
    timeout: int
    logs: int
    concurrency: int = 1
    instances: int | None = None

    @classmethod
    def default(cls, settings: Settings) -> ActionLimits:
        return cls(
            memory=settings.memory_mb[1],
            timeout=settings.timeout_ms[1],
            logs=settings.logs_mb[1],
            concurrency=settings.concurrency[1],
        )

    def changed(self, changes: dict[str, int], settings: Settings) -> ActionLimits:
        """These limits with others, which must be inside what the server allows."""
        for name, value in changes.items():
            check_limit(name, value, settings)
        return replace(self, **changes)

    def to_json(self) -> dict[str, int]:
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}


def read_limits(limits: Any) -> dict[str, int]:
    """The limits that a PUT names. Raises ApiError where one is no whole number."""
    if limits is None:
        return {}
    if not isinstance(limits, dict):
        raise malformed("Object expected in field 'timeout'")
    return {name: _whole(limits[name], name, word) for name, word in FIELDS.items() if limits.get(name) is not None}


def _whole(value: Any, name: str, word: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(f"{word} limit malformed")
    if isinstance(value, float) and not value.is_integer():
        raise malformed(f"requirement failed: {word} limit must be whole number")
    if value < 0 and name in SIZES:
        raise malformed("requirement failed: a negative size of an object is not allowed.")
    return int(value)


def check_limit(name: str, value: int, settings: Settings) -> None:
    """Raises ApiError where a limit is outside what the server allows."""
    if name == "instances":
        if value > settings.concurrent_invocations:
            raise refused(
                "Max action instance concurrency must not exceed your namespace concurrency of "
                f"{settings.concurrent_invocations}."
            )
        return
    (least, _, most), what, unit = {
        "memory": (settings.memory_mb, "memory size", " MB"),
        "timeout": (settings.timeout_ms, "duration", " milliseconds"),
        "logs": (settings.logs_mb, "log size", " MB"),
        "concurrency": (settings.concurrency, "concurrency", ""),
    }[name]
    if value < least:
        raise refused(f"requirement failed: {what} {value}{unit} below allowed threshold of {least}{unit}")
    if value > most:
        raise refused(f"requirement failed: {what} {value}{unit} exceeds allowed threshold of {most}{unit}")
