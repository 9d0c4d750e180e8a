"""The recorded exchanges of a real OpenWhisk, replayed against the embedded one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from frame.processes import Processes
from support.openwhisk import Server
from support.recordings import probe_command, recordings

DIFFERENCES = tomllib.loads(Path(__file__).with_name("openwhisk_differences.toml").read_text())["difference"]
RECORDED = ("1-api", "2-actions", "3-invocations", "4-activations")


def comparable(recorded: Path, folder: Path) -> Path:
    """A copy without what is not compared, for which `replay` would wait all the same."""
    lines = [json.loads(line) for line in recorded.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if not (line.get("unstable") and line["method"] == "GET")]
    copy = folder / recorded.name
    copy.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    return copy


@pytest.mark.slow
def test_only_the_listed_exchanges_differ(tmp_path: Path, processes: Processes) -> None:
    folder = recordings()
    probe = probe_command(folder)
    server = Server(processes, tmp_path / "state", {"probe:1": probe, "python:3": probe}, pool_mb=4096)
    copies = [comparable(folder / "recorded" / f"{name}.jsonl", tmp_path) for name in RECORDED]
    program = [sys.executable, str(folder / "replay"), "--apihost", server.apihost, "--auth", server.auth]
    found = subprocess.run([*program, *map(str, copies)], capture_output=True, text=True, timeout=240, check=False)
    differing = set(re.findall(r"^different: (.*?): [A-Z]+ /", found.stdout, re.MULTILINE))
    expected = {one["name"] for one in DIFFERENCES}
    by_timing = {one["name"] for one in DIFFERENCES if one.get("timing")}
    assert differing - expected == set(), found.stdout
    assert expected - by_timing - differing == set(), "listed as different, but the same"
    assert re.search(r"^5\d\d passed, ", found.stdout, re.MULTILINE), found.stdout
    server.stop()
