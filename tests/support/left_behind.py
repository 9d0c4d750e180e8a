"""What an engine and the firewall hold at a moment, as lines that name each thing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import psutil

from pipeline.embedded.docker.owner import OWNER, alive

MARKER = "ML_SUBMISSION_TEST_SESSION"
TABLES = (("iptables", "filter"), ("iptables", "nat"), ("ip6tables", "filter"))


def seen(engine: docker.DockerClient) -> set[str]:
    """Containers, networks, volumes and firewall rules, but those that another living supervisor owns."""
    networks = engine.api.networks()
    found = {f"container {one['Names'][0].lstrip('/')}" for one in theirs_left_out(containers(engine))}
    found |= {f"network {one['Name']}" for one in theirs_left_out(networks)}
    found |= {f"volume {one['Name']}" for one in theirs_left_out(engine.api.volumes()["Volumes"] or [])}
    bridges = {bridge_of(one) for one in networks if is_anothers(one)}
    return found | {line for line in rules() if not any(bridge in line for bridge in bridges)}


def containers(engine: docker.DockerClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = engine.api.containers(all=True)
    return listed


def theirs_left_out(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in things if not is_anothers(one)]


def is_anothers(thing: dict[str, Any]) -> bool:
    """Owned by a process that runs and does not descend from this test session."""
    owner = (thing.get("Labels") or {}).get(OWNER, "")
    return alive(owner) and not descends(int(owner.partition(":")[0]))


def descends(pid: int) -> bool:
    try:
        return psutil.Process(pid).environ().get(MARKER) == os.environ.get(MARKER)
    except psutil.Error:
        return False


def bridge_of(network: dict[str, Any]) -> str:
    named: str = (network.get("Options") or {}).get("com.docker.network.bridge.name", "")
    return named or f"br-{network['Id'][:12]}"


def rules() -> Iterator[str]:
    """As root; others see none."""
    for program, table in TABLES:
        if os.geteuid() == 0 and shutil.which(program):
            shown = subprocess.run([program, "-w", "10", "-t", table, "-S"], capture_output=True, text=True, check=True)
            yield from (f"{program} -t {table} {line}" for line in shown.stdout.splitlines())
