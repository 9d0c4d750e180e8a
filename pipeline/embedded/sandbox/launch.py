"""The command line that starts a program in the sandbox: pure text from a plan.

As root the outer steps come first: a private mount namespace in which everything that is put in lies under a folder
that the dropped user can pass (home folders and mktemp's are 0700), then limits, then a user of its own, then
bubblewrap as that user. Not as root: limits and bubblewrap.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSIDE_SERVICES = Path("/services")
TMP_SHARE = 2
"""/tmp and /dev/shm get the action's memory divided by this, each; the watch counts them as memory."""

LIMITS_NAMESPACES = {"core": "0", "nofile": "1024:1024", "fsize": "1073741824"}
SYSTEM = ("/usr",)
LINKED = ("bin", "sbin", "lib", "lib32", "lib64")
CONFIGURATION = ("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs")


@dataclass(frozen=True)
class Mount:
    """A folder or socket of ours, read-only at `inside`."""

    source: Path
    inside: Path


@dataclass(frozen=True)
class Plan:
    """What to start. `user` is the uid and gid to drop to, None to stay who we are; sizes in MB."""

    program: tuple[str, ...]
    mounts: tuple[Mount, ...]
    variables: Mapping[str, str]
    memory_mb: int
    processes: int
    user: int | None = None
    stage: Path | None = None
    cgroup_files: tuple[Path, ...] = field(default=())


def bubblewrapped(plan: Plan) -> list[str]:
    """With namespaces of its own: no network, no other processes, no files but those of the plan."""
    staged = plan.stage is not None
    sources = {mount: plan.stage / str(at) if plan.stage else mount.source for at, mount in enumerate(plan.mounts)}
    command = [*limits(plan), *user(plan), "bwrap", *isolation(plan)]
    for mount, source in sources.items():
        command += ["--ro-bind", str(source), str(mount.inside)]
    command += ["--remount-ro", "/", "--chdir", "/tmp", "--cap-drop", "ALL", *plan.program]
    return in_stage(plan, command) if staged else command


def isolation(plan: Plan) -> list[str]:
    """bubblewrap's options that do not depend on what is put in."""
    room = str(plan.memory_mb * 2**20 // TMP_SHARE)
    options = ["--unshare-all", "--unshare-user", "--disable-userns"]
    options += ["--die-with-parent", "--new-session", "--clearenv"]
    for name, value in plan.variables.items():
        options += ["--setenv", name, value]
    for path in SYSTEM:
        options += ["--ro-bind", path, path]
    for name in LINKED:
        place = Path("/", name)
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            options += ["--ro-bind", str(place), str(place)]
    for path in CONFIGURATION:
        options += ["--ro-bind-try", path, path]
    options += ["--proc", "/proc", "--dev", "/dev", "--size", room, "--tmpfs", "/tmp"]
    return [*options, "--size", room, "--tmpfs", "/dev/shm"]


def limits(plan: Plan) -> list[str]:
    """Limits of the kernel for each process. Those on processes count by user, so they need one of its own."""
    wanted = dict(LIMITS_NAMESPACES)
    if plan.user is not None:
        wanted["nproc"] = str(plan.processes)
    return ["prlimit", *(f"--{name}={value}" for name, value in wanted.items()), "--"]


def user(plan: Plan) -> list[str]:
    if plan.user is None:
        return ["setpriv", "--no-new-privs"]
    number = str(plan.user)
    return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", "--no-new-privs"]


def in_stage(plan: Plan, command: list[str]) -> list[str]:
    """As root: puts everything into a tmpfs at `stage` that only this process tree sees, then runs the command."""
    stage = shlex.quote(str(plan.stage))
    script = [f"echo $$ > {shlex.quote(str(file))}" for file in plan.cgroup_files]
    script.append(f"mount -t tmpfs -o mode=755,size=1m stage {stage}")
    for at, mount in enumerate(plan.mounts):
        place = f"{stage}/{at}"
        script.append(f"mkdir {place}" if mount.source.is_dir() else f": > {place}")
        script.append(f"mount --bind {shlex.quote(str(mount.source))} {place}")
    script.append(f"exec {shlex.join(command)}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(script)]


def reduced(plan: Plan) -> list[str]:
    """Without namespaces: limits and no new privileges, where the programs for that are there."""
    variables = [f"{name}={value}" for name, value in plan.variables.items()]
    return ["env", "-i", *variables, *plan.program]
