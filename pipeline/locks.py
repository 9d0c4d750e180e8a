"""Requirements -> a hashed lock of wheels, against what the base has. The first lock of its kind is kept.

The base's packages go to the resolver as wheels without content but with their real metadata, so that no index is
asked for them and a conflict is found; they are then left out of the lock.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.backends.images import Base
from pipeline.bases.target import Target
from pipeline.errors import Fault, InfrastructureError, SubmissionError
from pipeline.files import write_text
from pipeline.package_tool import Finished, PackageTool
from pipeline.requirements import FILE, Requirements
from pipeline.settings import Assignment
from pipeline.torch_builds import TORCH, of_another_build

FILTERED = "exclude-newer"
FAR_AHEAD = "2999-01-01T00:00:00+00:00"
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*==[^\s\\;]+)", re.MULTILINE)


@dataclass(frozen=True)
class Lock:
    """A lock's text, pinned and hashed, without the base's packages and without the address of any index."""

    text: str
    kept: bool
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(PINNED.findall(self.text))


def lock(requirements: Requirements, base: Base, assignment: Assignment, cache: Path, tool: PackageTool) -> Lock:
    """The lock of accepted requirements. `kept` is true where nothing had to be resolved again.

    Raises SubmissionError where the requirements cannot be met with wheels, InfrastructureError where the index
    cannot be reached (the probe of `PackageTool.index_answers` tells these apart).
    """
    if all(in_base(one, base) for one in requirements.accepted):
        return Lock("", kept=True)
    file = cache / "locks" / assignment.name / f"{lock_key(requirements, base)}.lock"
    if file.exists():
        return Lock(file.read_text(encoding="utf-8"), kept=True)
    with tempfile.TemporaryDirectory(prefix="lock-") as scratch:
        text, notes = resolve(requirements, base, assignment, tool, Path(scratch))
    refuse_other_builds(text, base, requirements)
    if not file.exists():
        write_text(file, text)
    return Lock(text, kept=False, notes=notes)


def refuse_other_builds(text: str, base: Base, requirements: Requirements) -> None:
    """Raises SubmissionError for wheels that could be installed and not be imported."""
    pins = dict(one.split("==") for one in PINNED.findall(text))
    found = of_another_build(base.packages.get(TORCH, ""), pins)
    if found:
        faults = [
            Fault(
                FILE,
                f"{name} {pins[name]} is built for CUDA and cannot be imported with the base's torch, a CPU build",
                f"leave it out, and what needs it; or ask the staff for a base with {name}",
                line_of(name, requirements),
            )
            for name in found
        ]
        raise SubmissionError("requirements.txt asks for what does not work on this base", faults=faults)


def in_base(requirement: Requirement, base: Base) -> bool:
    """Whether the base alone meets a requirement, whose version was judged before. Extras may bring in more."""
    if requirement.marker is not None and not requirement.marker.evaluate(base.markers):
        return True
    return canonicalize_name(requirement.name) in base.packages and not requirement.extras


def lock_key(requirements: Requirements, base: Base) -> str:
    wanted = hashlib.sha256(requirements.normalised().encode()).hexdigest()
    return f"{base.digest.removeprefix('sha256:')[:16]}-{wanted}"


def resolve(
    requirements: Requirements, base: Base, assignment: Assignment, tool: PackageTool, scratch: Path
) -> tuple[str, tuple[str, ...]]:
    """Asks uv, as of the assignment's date where the index knows dates; the lock and notes for the report."""
    wanted, target = scratch / "requirements.in", scratch / "requirements.lock"
    wanted.write_text(requirements.normalised(), encoding="utf-8")
    write_stubs(base, scratch)
    command = [
        "pip",
        "compile",
        str(wanted),
        "--output-file",
        str(target),
        "--generate-hashes",
        "--only-binary",
        ":all:",
    ]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--constraints"]
    command += [str(scratch / "base.txt"), *Target(base.python_version, base.platform).options]
    command += [part for name in sorted(base.packages) for part in ("--no-emit-package", name)]
    date = assignment.locked_as_of.isoformat() if assignment.locked_as_of else None
    notes: tuple[str, ...] = ()
    done = tool.run(*command, *as_of(date), wheels=[str(scratch)])
    if done.code and date and FILTERED in done.complaint and not knows_dates(tool, command, scratch):
        done = tool.run(*command, wheels=[str(scratch)])
        notes = ("the index gives no upload times: the lock is not as of the assignment's date",)
    if done.code:
        raise why(done, requirements, tool, scratch)
    return target.read_text(encoding="utf-8"), notes


def as_of(date: str | None) -> list[str]:
    return ["--exclude-newer", date] if date else []


def knows_dates(tool: PackageTool, command: list[str], scratch: Path) -> bool:
    """Whether the index gives upload times. Without them a package is too young even for a date far ahead."""
    return FILTERED not in tool.run(*command, *as_of(FAR_AHEAD), wheels=[str(scratch)]).complaint


def write_stubs(base: Base, folder: Path) -> None:
    """Wheels of the base's packages with nothing but their metadata, and constraints to their versions."""
    for name, version in base.packages.items():
        stem = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            plain = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            wheel.writestr(f"{stem}.dist-info/METADATA", base.metadata.get(name, plain))
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    pins = "".join(f"{name}=={version}\n" for name, version in sorted(base.packages.items()))
    (folder / "base.txt").write_text(pins, encoding="utf-8")


def why(
    done: Finished, requirements: Requirements, tool: PackageTool, scratch: Path
) -> SubmissionError | InfrastructureError:
    """Whose fault a failed resolution is. A missing package and a missing index look alike: hence the probe."""
    if done.killed:
        return InfrastructureError("resolving the requirements was killed (137): memory", hint="try again later")
    refused = "error sending request" in done.complaint
    if refused or tool.index_answers(scratch) is not None:
        said = " ".join(done.lines(3).split())
        hint = "try again later; nothing is wrong with the submission"
        return InfrastructureError(f"the package index cannot be reached: {said}", hint=hint)
    said = cause(done)
    fault = Fault(FILE, said, hint_for(done.complaint), line_of(said, requirements))
    return SubmissionError("requirements.txt cannot be met with wheels for this base", faults=[fault])


def cause(done: Finished) -> str:
    """uv's reason, on one line."""
    text = " ".join(done.lines().split())
    found = re.search(r"Because .*?(?:unsatisfiable\.|cannot be used\.|(?=hint:)|$)", text)
    return (found[0] if found else text).strip()


def line_of(said: str, requirements: Requirements) -> int | None:
    """The line of the first requirement that a reason names."""
    words = {canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", said)}
    named = zip(requirements.accepted, requirements.lines, strict=False)
    return next((line for one, line in named if canonicalize_name(one.name) in words), None)


def hint_for(complaint: str) -> str:
    if "no usable wheels" in complaint or "no wheels" in complaint:
        return "this package has no wheel for the base's Python and platform: choose another version or package"
    if FILTERED in complaint:
        return "the course takes only what was there on its date: choose an older version"
    if "was not found" in complaint:
        return "is the name written as on the index? A module may have another name than its package"
    return "leave out versions that you do not need: the newest that fits is then taken"
