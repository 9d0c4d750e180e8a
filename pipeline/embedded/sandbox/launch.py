"""The command line that starts a program in the sandbox: text from a plan.

As root the outer steps come first: a private mount namespace in which everything that is put in lies under a folder
that the dropped user can pass (home folders and mktemp's are 0700), then limits, then a user of its own, then
bubblewrap as that user. Not as root: limits and bubblewrap. Without bubblewrap: confine.py, which drops what it can.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.embedded.sandbox import confine, relay
from pipeline.embedded.sandbox.installed import NO_FURTHER_USERS, knows

INSIDE_SERVICES = Path("/services")
INSIDE_RELAY = Path("/opt/relay.py")
TMP_SHARE = 2
"""/tmp and /dev/shm get the action's memory divided by this, each; the watch counts them as memory."""
DATA_SLACK_MB = 1024
"""Of each process, beside twice the action's memory: the kernel counts room that is reserved and never used."""

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
    """What to start. `user` is the uid and gid to drop to, None to stay who we are; sizes in MB.

    `started` is a descriptor to which a byte is written when the sandbox stands, `calls` one of a filter of system
    calls. `relays` are the ports of services and their sockets inside. `tasks` are threads, of all processes; 0 where
    the kernel would count those of the same user elsewhere too.
    """

    program: tuple[str, ...]
    mounts: tuple[Mount, ...]
    variables: Mapping[str, str]
    memory_mb: int
    tasks: int
    started: int
    relays: Mapping[int, Path] = field(default_factory=dict)
    calls: int | None = None
    user: int | None = None
    stage: Path | None = None
    cgroup_files: tuple[Path, ...] = ()


def bubblewrapped(plan: Plan) -> list[str]:
    """With namespaces of its own: no network, no other processes, no files but those of the plan."""
    mounts = (*plan.mounts, Mount(Path(relay.__file__), INSIDE_RELAY))
    command = ["prlimit", *(f"--{name}={value}" for name, value in limits(plan).items()), "--"]
    command += [*user(plan), "bwrap", *isolation(plan)]
    for at, mount in enumerate(mounts):
        source = plan.stage / str(at) if plan.stage else mount.source
        command += ["--ro-bind", str(source), str(mount.inside)]
    command += ["--remount-ro", "/", "--chdir", "/tmp", "--cap-drop", "ALL"]
    if plan.calls is not None:
        command += ["--seccomp", str(plan.calls)]
    command += [plan.program[0], "-I", "-S", str(INSIDE_RELAY), str(plan.started), str(plan.tasks)]
    command += [*(f"{port}={path}" for port, path in plan.relays.items()), "--", *plan.program]
    return in_stage(plan, plan.stage, mounts, command) if plan.stage else command


def isolation(plan: Plan) -> list[str]:
    """bubblewrap's options that do not depend on what is put in."""
    room = str(plan.memory_mb * 2**20 // TMP_SHARE)
    options = ["--unshare-all", "--unshare-user"]
    if knows(NO_FURTHER_USERS):
        options.append(NO_FURTHER_USERS)
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
    # bubblewrap's /dev is a tmpfs of its own, which would take half of the machine's memory
    return [*options, "--size", room, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]


def limits(plan: Plan) -> dict[str, int]:
    """Limits of the kernel for each process. A control group counts memory better than these can."""
    wanted = {"core": 0, "nofile": 1024, "fsize": 2**30}
    if not plan.cgroup_files:
        wanted["data"] = (2 * plan.memory_mb + DATA_SLACK_MB) * 2**20
    return wanted


def user(plan: Plan) -> list[str]:
    if plan.user is None:
        return ["setpriv", "--no-new-privs"]
    number = str(plan.user)
    return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", "--no-new-privs"]


def in_stage(plan: Plan, stage: Path, mounts: tuple[Mount, ...], command: list[str]) -> list[str]:
    """As root: puts everything into a tmpfs at `stage` that only this process tree sees, then runs the command."""
    script = [f"echo $$ > {shlex.quote(str(file))}" for file in plan.cgroup_files]
    script.append(f"mount -t tmpfs -o mode=755,size=1m stage {shlex.quote(str(stage))}")
    for at, mount in enumerate(mounts):
        place = shlex.quote(str(stage / str(at)))
        script.append(f"mkdir {place}" if mount.source.is_dir() else f": > {place}")
        script.append(f"mount --bind {shlex.quote(str(mount.source))} {place}")
    script.append(f"exec {shlex.join(command)}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(script)]


def reduced(plan: Plan) -> list[str]:
    """Without namespaces: a user of its own where we are root, limits, and all below it ended with it."""
    script = confine.__file__
    wanted = limits(plan) | ({"nproc": plan.tasks} if plan.tasks and plan.user is not None else {})
    said = {"parent": os.getpid(), "started": plan.started, "user": plan.user, "limits": wanted}
    cgroups = [str(file) for file in plan.cgroup_files]
    options = json.dumps(said | {"cgroups": cgroups, "variables": dict(plan.variables)})
    return [sys.executable, "-I", "-S", script, options, *plan.program]
