"""What a real OpenWhisk answered, asked of the embedded one again: only what is listed differs, each with a reason."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from frame.processes import Processes
from support.openwhisk import Server
from support.recordings import FILES, PROBE_COMMAND, exchanges
from support.replaying import Difference, Replay

LISTED = tomllib.loads(Path(__file__).with_name("openwhisk_differences.toml").read_text())["difference"]
MOST_DIFFERENCES = 25
COMPARED = 570


def replayed(processes: Processes, state: Path, name: str) -> tuple[list[Difference], int]:
    server = Server(processes, state, {"probe:1": PROBE_COMMAND, "python:3": PROBE_COMMAND}, pool_mb=4096)
    replay = Replay(server.apihost, server.auth)
    found = list(replay.differences(exchanges(name)))
    server.stop()
    return found, replay.compared


@pytest.mark.slow
def test_only_the_listed_exchanges_differ(tmp_path: Path, processes: Processes) -> None:
    with ThreadPoolExecutor(len(FILES)) as pool:
        results = list(pool.map(lambda name: replayed(processes, tmp_path / name, name), FILES))
    differing = {one.name: one.how for found, _ in results for one in found}
    listed = {one["name"] for one in LISTED}
    by_timing = {one["name"] for one in LISTED if one.get("timing")}
    assert {name: how for name, how in differing.items() if name not in listed} == {}
    assert listed - by_timing - differing.keys() == set(), "listed as different, but the same"
    assert sum(compared for _, compared in results) == COMPARED
    assert len(LISTED) <= MOST_DIFFERENCES


def test_the_docs_list_the_differences() -> None:
    page = (Path(__file__).parents[2] / "docs" / "openwhisk.md").read_text(encoding="utf-8")
    rows = "\n".join(f"| {one['name']} | {one['why']} |" for one in LISTED)
    assert f"| exchange | why |\n|---|---|\n{rows}\n\n" in page, rows
