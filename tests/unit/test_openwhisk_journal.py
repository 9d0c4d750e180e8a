"""The journal of activations: how much of the past it keeps, over restarts and kills."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.embedded.openwhisk.activations import Journal, logs_line
from pipeline.embedded.openwhisk.settings import Keep

KEEP = Keep(records=20, files=4)


def accepted(namespace: str = "guest", at: int | None = None) -> dict[str, Any]:
    start = int(time.time() * 1000) if at is None else at
    found = {"activationId": uuid.uuid4().hex, "namespace": namespace, "name": "a", "path": f"{namespace}/a"}
    return {**found, "start": start, "version": "0.0.1", "publish": False, "annotations": []}


def finished(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "end": record["start"], "duration": 0, "response": {"statusCode": 0}}


def add(journal: Journal, namespace: str = "guest", at: int | None = None) -> str:
    """One activation with logs; its id."""
    record = accepted(namespace, at)
    journal.accept(record)
    journal.finish(finished(record))
    journal.add_logs(record["activationId"], logs_line(record["activationId"], ["line"]))
    return str(record["activationId"])


def opened(folder: Path, work: Callable[[Journal], Any], keep: Keep = KEEP) -> Any:
    """What `work` makes of a journal that is opened, and closed afterwards."""

    async def main() -> Any:
        journal = Journal(folder, keep)
        journal.lost = journal.open()  # type: ignore[attr-defined]
        try:
            return work(journal)
        finally:
            await journal.close()

    return asyncio.run(main())


def known(journal: Journal) -> set[str]:
    return {one for one, _ in journal.newest("guest")}


def test_the_oldest_go_and_are_counted_still(tmp_path: Path) -> None:
    def fill(journal: Journal) -> list[str]:
        return [add(journal) for _ in range(100)]

    ids = opened(tmp_path, fill)
    for _ in range(2):
        kept, count = opened(tmp_path, lambda journal: (known(journal), journal.accepted("guest")))
        assert 20 <= len(kept) <= 25
        assert (kept, count) == (set(ids[-len(kept) :]), 100)
        assert len(list(tmp_path.iterdir())) <= KEEP.files + 1
    record = opened(tmp_path, lambda journal: journal.record("guest", ids[-1]))
    assert (record["activationId"], record["logs"]) == (ids[-1], ["line"])
    assert opened(tmp_path, lambda journal: journal.record("guest", ids[0])) is None


def test_what_is_not_ended_is_kept(tmp_path: Path) -> None:
    running = accepted()

    def fill(journal: Journal) -> None:
        journal.accept(running)
        for _ in range(100):
            add(journal)
        assert len(known(journal)) == 100

    opened(tmp_path, fill)
    lost = opened(tmp_path, lambda journal: journal.lost)
    assert [one["activationId"] for one in lost] == [running["activationId"]]

    def end(journal: Journal) -> None:
        journal.finish(finished(running))
        journal.without_logs(running["activationId"])
        for _ in range(10):
            add(journal)

    opened(tmp_path, end)
    assert opened(tmp_path, lambda journal: (journal.lost, len(known(journal)) <= 25)) == ([], True)


def test_bytes_and_days_bound_it_too(tmp_path: Path) -> None:
    small = Keep(bytes=40_000, files=4)
    opened(tmp_path / "bytes", lambda journal: [add(journal) for _ in range(300)], small)
    assert sum(one.stat().st_size for one in (tmp_path / "bytes").iterdir()) < 55_000

    def fill(journal: Journal) -> tuple[str, str]:
        return add(journal, at=1_000), add(journal)

    old, new = opened(tmp_path / "days", fill)
    assert opened(tmp_path / "days", known) == {new}
    assert old != new


def test_a_kill_at_any_byte_loses_no_whole_line(tmp_path: Path) -> None:
    ids = opened(tmp_path / "whole", lambda journal: [add(journal) for _ in range(7)])
    files = sorted((tmp_path / "whole").iterdir())
    assert len(files) == 2
    last = files[-1].read_bytes()
    for size in range(0, len(last), 7):
        folder = tmp_path / f"cut-{size}"
        folder.mkdir()
        (folder / files[0].name).write_bytes(files[0].read_bytes())
        (folder / files[1].name).write_bytes(last[:size])
        lines = last[:size].split(b"\n")[:-1]
        begun, ended = (sum(kind in line for line in lines) for kind in (b'"accepted"', b'"finished"'))
        found = opened(folder, lambda journal: (known(journal), len(journal.lost), journal.accepted("guest")))
        assert found == (set(ids[: 5 + ended]), begun - ended, 5 + begun)
