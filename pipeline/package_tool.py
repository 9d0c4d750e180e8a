"""uv, run with an environment and a cache of ours: it resolves and unpacks wheels, and builds nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from pipeline.settings import Assignment, Course
from pipeline.text import one_line

PROBE = "numpy"
SECONDS = 900
# addresses, certificates and proxies of the machine: all else of the environment stays outside
KEPT = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|OFFLINE)"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy|LANG|SYSTEMROOT|TMPDIR"
)


@dataclass(frozen=True)
class Finished:
    """How a call of uv ended. A negative code is the signal that killed it."""

    code: int
    complaint: str

    @property
    def killed(self) -> bool:
        return self.code in {-9, 137}

    def lines(self, at_most: int = 12) -> str:
        """The complaint without addresses of servers, in few lines."""
        kept = [one_line(without_hosts(line), 400) for line in self.complaint.splitlines() if line.strip()]
        return "\n".join(kept[:at_most])


@dataclass(frozen=True)
class PackageTool:
    """Where packages come from, and where uv keeps what it has downloaded.

    `alone`: from the wheel folders only; not `patient`: an index that does not answer soon is not there.
    """

    cache: Path
    index: str | None = None
    wheels: tuple[str, ...] = ()
    alone: bool = False
    patient: bool = True

    @classmethod
    def of(cls, course: Course, assignment: Assignment, cache: Path) -> PackageTool:
        """The course's wheels and index, and the wheel folders that the machine names (UV_FIND_LINKS)."""
        return cls.with_wheels(course.wheels, cache, assignment.index)

    @classmethod
    def with_wheels(cls, wheels: Path | None, cache: Path, index: str | None = None) -> PackageTool:
        """The same without a course."""
        folders = [str(wheels)] if wheels else []
        folders += (
            re.split(r"[\s,]+", os.environ.get("UV_FIND_LINKS", "").strip()) if "UV_FIND_LINKS" in os.environ else []
        )
        return cls(cache / "uv", index, tuple(one for one in folders if one))

    def run(self, *arguments: str, wheels: Sequence[str] = (), seconds: float = SECONDS) -> Finished:
        """Runs uv, with the wheel folders alone where there are any, and then with the index. Raises nothing."""
        command = [uv.find_uv_bin(), *arguments, "--quiet", "--python", sys.executable]
        command += [part for folder in (*wheels, *self.wheels) for part in ("--find-links", folder)]
        if self.wheels:
            done = self._call([*command, "--no-index"], seconds)
            if done.code == 0 or self.alone or "No solution found" not in done.complaint:
                return done
        return self._call([*command, *(["--default-index", self.index] if self.index else [])], seconds)

    def _call(self, command: list[str], seconds: float) -> Finished:
        try:
            done = subprocess.run(
                command,
                env=self.environment(),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Finished(124, f"no answer within {seconds:g} s")
        return Finished(done.returncode, done.stderr.decode("utf-8", "replace"))

    def environment(self) -> dict[str, str]:
        """Little memory, one thing at a time, no configuration files, no credentials."""
        kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        quick = {} if self.patient else {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
        return (
            kept
            | quick
            | {
                "PATH": os.defpath,
                "HOME": str(self.cache),
                "UV_CACHE_DIR": str(self.cache),
                "UV_NO_CONFIG": "1",
                "UV_NO_PROGRESS": "1",
                "UV_PYTHON_DOWNLOADS": "never",
                "UV_CONCURRENT_DOWNLOADS": "4",
                "UV_CONCURRENT_INSTALLS": "1",
                "UV_KEYRING_PROVIDER": "disabled",
                "NO_COLOR": "1",
            }
        )

    def index_answers(self, scratch: Path) -> Finished | None:
        """Asks the index for a package that every index has. None: it answered; else how it failed."""
        asked = scratch / "probe.in"
        asked.write_text(PROBE + "\n")
        target = ("--output-file", str(scratch / "probe.lock"))
        done = self.run(
            "pip", "compile", str(asked), *target, "--no-deps", "--only-binary", ":all:", "--refresh", seconds=60
        )
        return None if done.code == 0 else done


def without_hosts(text: str) -> str:
    """No address of an index reaches a record or a report: where packages come from is the course's."""
    return re.sub(r"https?://[^\s`'\")]+", "the index", text)
