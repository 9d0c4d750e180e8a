"""Runs the repository's Jenkinsfile without Jenkins: tests/jenkins/*.groovy in a Java machine, `sh` steps for real."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
JENKINSFILE = ROOT / "Jenkinsfile"
HARNESS = ROOT / "tests" / "jenkins"
# Debian's packages groovy and a JRE; the version of Groovy is the one that Jenkins embeds
JARS = [Path("/usr/share/java") / name for name in ("groovy-all.jar", "antlr.jar", "asm.jar", "commons-cli.jar")]
OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "io", "util")]
# faster to start: no second compiler, no search for the number of processors
QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
PATIENCE_S, EACH_S = 240, 10
"""For the Java machine and a build, and for each build more."""


def needed() -> str | None:
    """What this machine lacks to run a Jenkinsfile; None where it lacks nothing."""
    if shutil.which("java") is None:
        return "no Java here (Debian: default-jre-headless)"
    return None if all(jar.exists() for jar in JARS) else "no Groovy 2.4 here (Debian: groovy)"


def require() -> None:
    if reason := needed():
        pytest.skip(f"the Jenkinsfile cannot be run: {reason}")


@dataclass(frozen=True)
class Agent:
    """Where a build runs: a name, a workspace, and what staff set in its environment."""

    name: str
    workspace: Path
    environment: Mapping[str, str]


@dataclass
class Build:
    """One build of a job; `folder` holds what it leaves: state.json, console.log, archive/, or refused.json."""

    folder: Path
    parameters: Mapping[str, str]
    agents: Sequence[Agent]
    number: int = 1
    job: str = "ml/mnist-ada"
    jenkinsfile: Path = JENKINSFILE
    hour_ms: int = 3_600_000
    url: str = "http://jenkins.example/job/ml/job/mnist-ada/1/"
    process: subprocess.Popen[bytes] | None = None

    def configure(self) -> Path:
        """Writes what the harness reads."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = ("jenkinsfile", "folder", "number", "job", "hour_ms", "url")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        given |= {"parameters": self.parameters, "user": "dispatcher", "agents": [vars(one) for one in self.agents]}
        config = self.folder / "build.json"
        config.write_text(json.dumps(given, default=str))
        return config

    def start(self) -> Build:
        self.process = launched([self])
        return self

    def wait(self) -> Build:
        """Until it has ended. A build that does not end is ended, with what runs in it."""
        assert self.process is not None
        ended(self.process, [self])
        return self

    def run(self) -> Build:
        return self.start().wait()

    def ask(self, what: str) -> None:
        """`abort`, as a person does; `lose`, as when the agent dies."""
        (self.folder / what).touch()

    @property
    def console(self) -> str:
        file = self.folder / "console.log"
        return file.read_text() if file.exists() else ""

    @property
    def state(self) -> dict[str, Any]:
        return loaded(self.folder / "state.json") or {}

    @property
    def refused(self) -> list[str]:
        return loaded(self.folder / "refused.json") or []

    @property
    def result(self) -> Any:
        return self.state.get("result")

    @property
    def stages(self) -> dict[str, str]:
        return {one["name"]: one["result"] for one in self.state["stages"]}

    @property
    def archive(self) -> Path:
        return self.folder / "archive"


def loaded(file: Path) -> Any:
    return json.loads(file.read_text()) if file.exists() else None


def run_all(builds: Sequence[Build]) -> None:
    """One after the other in one Java machine, whose start takes longest."""
    ended(launched(builds), builds)


def launched(builds: Sequence[Build]) -> subprocess.Popen[bytes]:
    configs = [str(build.configure()) for build in builds]
    with (builds[0].folder / "harness.log").open("wb") as log:
        return subprocess.Popen(
            [*java(), "groovy.ui.GroovyMain", str(HARNESS / "harness.groovy"), *configs],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def ended(process: subprocess.Popen[bytes], builds: Sequence[Build]) -> None:
    try:
        process.wait(PATIENCE_S + EACH_S * (len(builds) - 1))
    except subprocess.TimeoutExpired:
        stop(process, builds)
        pytest.fail("a build did not end:\n" + "\n".join(build.console[-3000:] for build in builds))
    if process.returncode:
        pytest.fail("the harness broke:\n" + (builds[0].folder / "harness.log").read_text()[-3000:])


def stop(process: subprocess.Popen[bytes], builds: Sequence[Build]) -> None:
    """Ends builds in order, so that what their `sh` steps started ends too."""
    if process.poll() is None:
        for build in builds:
            build.ask("abort")
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def java() -> list[str]:
    path = ":".join([str(compiled()), *map(str, JARS)])
    return ["java", *OPENED, *QUICK, "-cp", path]


def compiled() -> Path:
    """The harness's classes, compiled once for each state of its sources."""
    sources = sorted(path for path in HARNESS.glob("*.groovy") if path.name[0].isupper())
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-submission-pipeline" / "harness"
    target = cache / version
    if target.is_dir():
        return target
    part = cache / f"{version}.{os.getpid()}"
    part.mkdir(parents=True)
    command = ["java", *OPENED, *QUICK, "-cp", ":".join(map(str, JARS)), "org.codehaus.groovy.tools.FileSystemCompiler"]
    done = subprocess.run([*command, "-d", str(part), *map(str, sources)], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part)
        pytest.fail(f"the harness does not compile:\n{done.stdout}{done.stderr}")
    try:
        part.rename(target)
    except OSError:  # another session was faster
        shutil.rmtree(part)
    return target


def agent(folder: Path, name: str = "agent-1", *, programs: Path | None = None, **environment: str) -> Agent:
    """An agent with folders of its own under `folder`; `programs` is where it finds `pipeline`."""
    home = folder / name
    for each in ("runs", "courses", "home"):
        (home / each).mkdir(parents=True, exist_ok=True)
    first = programs or Path(sys.executable).parent
    own = {
        "PATH": f"{first}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home / "home"),
        "PIPELINE_RUNS": str(home / "runs"),
        "PIPELINE_COURSES": str(home / "courses"),
        "LANG": "C.UTF-8",
    }
    return Agent(name, home / "workspace" / "mnist-ada", own | environment)


@dataclass
class InHarness:
    """A build of the stand-in server that runs the real Jenkinsfile."""

    build: Build

    def console(self) -> bytes:
        return self.build.console.encode()

    def result(self) -> str | None:
        assert self.build.process is not None
        if self.build.process.poll() is not None and self.build.result is None:
            return "FAILURE"
        found: str | None = self.build.result
        return found

    def stop(self) -> None:
        self.build.ask("abort")

    def artifact(self, path: str) -> bytes | None:
        file = self.build.archive / path
        return file.read_bytes() if file.is_file() else None

    def artifacts_there(self) -> list[str]:
        archive = self.build.archive
        return sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file())
