"""In place of the `pipeline` program on a build's agent: stages that take no time and end as a plan says.

Standard library alone, so that it starts at once. It writes the record that the real one would: `$TEMPLATE` is one of
a run that has just begun. `$PLAN` says of a stage: an outcome that it ends with, `exit N` without a record, `sleep`
until it is stopped. `verdict` is the real program's. Every call is a line of `$CALLS`.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

STAGES = ("fetch", "check", "render", "build", "push", "register", "execute", "collect", "report")
CODES = {"passed": 0, "failed": 10, "limit": 11, "infrastructure": 3, "course": 2, "aborted": 130, "superseded": 130}
PUBLIC = {
    "report.html": "<!DOCTYPE html><title>report</title>",
    "report.css": "",
    "junit.xml": '<testsuites><testsuite name="ml" tests="2"><testcase name="accuracy"/>'
    '<testcase name="memory"><failure message="too much"/></testcase></testsuite></testsuites>',
    "result.json": "{}",
    "private/secret.txt": "not the student's to read",
}


def main(arguments: list[str]) -> int:
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(shlex.join(arguments) + "\n")
    if arguments[0] == "verdict":
        return os.execv(sys.executable, [sys.executable, "-m", "pipeline", *arguments])
    plan: dict[str, str] = json.loads(os.environ.get("PLAN", "{}"))
    if arguments[0] == "cancel":
        return cancel(Path(arguments[1]))
    name, folder = arguments[1], Path(arguments[arguments.index("--out") + 1])
    if name == "fetch":
        begin(folder, arguments)
    return stage(name, folder, opened(folder), plan.get(name, ""))


def begin(folder: Path, arguments: list[str]) -> None:
    if (folder / "record.json").exists():
        return
    record = json.loads(Path(os.environ["TEMPLATE"]).read_text())
    record["run"] = arguments[arguments.index("--id") + 1]
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, record)


def opened(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def save(folder: Path, record: dict[str, Any]) -> None:
    part = folder / "record.json.part"
    part.write_text(json.dumps(record))
    part.rename(folder / "record.json")


def stage(name: str, folder: Path, record: dict[str, Any], planned: str) -> int:
    mine = record["stages"][STAGES.index(name)]
    if mine["status"] == "done" and name != "report":
        return CODES[record["outcome"] or "passed"]
    if planned == "sleep":
        return sleep(folder, record, name)
    if planned.startswith("exit before"):
        return int(planned.split()[-1])
    mine["status"] = "done" if planned in ("", "passed") else "failed"
    if planned in CODES:
        record |= {"outcome": planned, "reason": f"{planned} in {name}", "points": 42 if planned == "failed" else None}
    if name == "report":
        reached = all(one["status"] != "pending" for one in record["stages"])
        return end(folder, record, record["outcome"] or ("passed" if reached else "infrastructure"), planned)
    save(folder, record)
    return CODES[record["outcome"] or "passed"]


def sleep(folder: Path, record: dict[str, Any], name: str) -> int:
    def stopped(*_: object) -> None:
        save(folder, record | {"outcome": "aborted", "reason": "stopped"})
        sys.exit(130)

    signal.signal(signal.SIGTERM, stopped)
    (folder / "asleep").touch()
    time.sleep(600)
    return 1


def cancel(folder: Path) -> int:
    """Harmless where the run has ended."""
    record = opened(folder)
    return 0 if record["stages"][-1]["status"] == "done" else end(folder, record, "aborted")


def end(folder: Path, record: dict[str, Any], outcome: str, planned: str = "") -> int:
    record["stages"][-1]["status"] = "done"
    save(folder, record | {"outcome": outcome, "points": 95 if outcome == "passed" else record["points"]})
    for name, text in PUBLIC.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return int(planned.split()[-1]) if planned.startswith("exit after") else CODES[outcome]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
