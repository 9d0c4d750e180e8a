"""The Python that wheels are for, in uv's words; and what markers of requirements mean there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import CourseError

MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
GLIBC = (17, 28, *range(31, 41))
"""Minor versions of glibc 2 for which uv has a platform."""


@dataclass(frozen=True)
class Target:
    """The Python that wheels are for. `platform` is uv's name, empty for this machine's own."""

    python_version: str
    platform: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        platform = ("--python-platform", self.platform) if self.platform else ()
        return ("--python-version", self.python_version, *platform)


def python_platform(machine: str, libc: str, version: str) -> str:
    """uv's --python-platform for a machine and a C library, as `platform.libc_ver` names it.

    Raises CourseError for a machine or a C library without wheels.
    """
    kind = MACHINES.get(machine.lower())
    if kind is None:
        raise CourseError(
            f"the base is for {machine}, and wheels are for x86_64 and aarch64", hint="take another image"
        )
    if libc != "glibc":
        return f"{kind}-unknown-linux-musl"
    found = re.match(r"2\.(\d+)", version)
    minor = max((one for one in GLIBC if found and one <= int(found[1])), default=None)
    if minor is None:
        raise CourseError(f"the base has glibc {version}, which is too old for wheels", hint="take a newer image")
    return f"{kind}-manylinux_2_{minor}"


def marker_environment(python_version: str, platform: str) -> dict[str, str]:
    """What `packaging` asks of an environment, where it differs from this machine's: that of a base."""
    if not platform:
        return {}
    return {
        "implementation_name": "cpython",
        "implementation_version": python_version,
        "os_name": "posix",
        "platform_machine": platform.partition("-")[0],
        "platform_system": "Linux",
        "python_full_version": python_version,
        "platform_python_implementation": "CPython",
        "python_version": ".".join(python_version.split(".")[:2]),
        "sys_platform": "linux",
    }
