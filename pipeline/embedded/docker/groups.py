"""The control groups that the engine made for a container, where their files can be read from here."""

from __future__ import annotations

from pathlib import Path

from pipeline.embedded.sandbox.cgroups import CONTROLLERS, ROOT, Cgroup

IO = "blkio"


def group_of(container: str, process: int = 0) -> Cgroup | None:
    """By the engine's two ways of naming them, else as its first process says. None: they are not to be seen."""
    for name in (f"docker/{container}", f"system.slice/docker-{container}.scope"):
        if (found := at(dict.fromkeys(("", IO, *CONTROLLERS), name))) is not None:
            return found
    return at(named_by(process)) if process else None


def at(names: dict[str, str]) -> Cgroup | None:
    """By each controller's path, of version 1; of version 2 it is that of no controller."""
    if all(controller in names and (ROOT / controller / names[controller]).is_dir() for controller in CONTROLLERS):
        memory, pids, cpu = (ROOT / controller / names[controller] for controller in CONTROLLERS)
        return Cgroup(memory, pids, cpu, ROOT / IO / names[IO] if IO in names else None)
    unified = ROOT / names[""] if "" in names else None
    if unified is not None and (unified / "memory.stat").exists() and (unified / "pids.max").exists():
        return Cgroup(unified, unified, unified, unified)
    return None


def named_by(process: int) -> dict[str, str]:
    """`number:controllers:path` lines of /proc."""
    try:
        lines = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except OSError:
        return {}
    parts = [line.split(":", 2) for line in lines]
    return {controller: path.lstrip("/") for _, controllers, path in parts for controller in controllers.split(",")}
