"""What a real OpenWhisk answered, asked of the embedded one again: only what is listed differs, each with a reason."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from frame.processes import Processes
from support.action_sandboxes import probes
from support.openwhisk import Sandbox, Server
from support.recordings import FILES, PROBE_COMMAND, exchanges
from support.replaying import Difference, Replay

LISTED = tomllib.loads(Path(__file__).with_name("openwhisk_differences.toml").read_text())["difference"]
MOST_DIFFERENCES = 25
COMPARED = 570


def replayed(processes: Processes, state: Path, sandbox: Sandbox | None, name: str) -> tuple[list[Difference], int]:
    images = {"probe:1": PROBE_COMMAND, "python:3": PROBE_COMMAND}
    server = Server(processes, state, images, sandbox, pool_mb=4096)
    replay = Replay(server.apihost, server.auth)
    found = list(replay.differences(exchanges(name)))
    server.stop()
    return found, replay.compared


@pytest.mark.slow
@pytest.mark.parametrize("containers", ["plain", "docker"])
def test_only_the_listed_exchanges_differ(
    tmp_path: Path, processes: Processes, request: pytest.FixtureRequest, containers: str
) -> None:
    if containers == "docker":
        request.getfixturevalue("docker_unchanged")
    with probes(containers, request) as sandbox, ThreadPoolExecutor(len(FILES)) as pool:
        results = list(pool.map(lambda name: replayed(processes, tmp_path / name, sandbox, name), FILES))
    differing = {one.name: one.how for found, _ in results for one in found}
    listed = {one["name"] for one in LISTED if one.get("containers", containers) == containers}
    by_timing = {one["name"] for one in LISTED if one.get("timing")}
    assert {name: how for name, how in differing.items() if name not in listed} == {}
    assert listed - by_timing - differing.keys() == set(), "listed as different, but the same"
    assert sum(compared for _, compared in results) == COMPARED
    assert len(LISTED) <= MOST_DIFFERENCES


def test_the_docs_list_the_differences() -> None:
    page = (Path(__file__).parents[2] / "docs" / "openwhisk.md").read_text(encoding="utf-8")
    rows = "\n".join(f"| {one['name']} | {one['why']} |" for one in LISTED)
    assert f"| exchange | why |\n|---|---|\n{rows}\n\n" in page, rows
