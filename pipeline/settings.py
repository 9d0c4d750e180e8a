"""What staff set: a course with its assignments. Frozen; the words are those of docs/design.md.

Reading them from `course.toml` with faults, hints and the origin of each value is `pipeline.course`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pipeline.extensions import Extension, faults_of_extensions
from pipeline.frozen import Frozen, Name
from pipeline.kinds import TRAITS, Data, Job, openable
from pipeline.kinds.contract import MEMORY
from pipeline.kinds.train import TrainData, TrainJob
from pipeline.validation import nearest

DEFAULT_BASE = "default"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
URL = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?$"
LEAST_MB, MOST_MB = 128, 8192
"""Of memory that a function can be given anywhere; a server may allow less."""
ADDRESS = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"


class Isolation(StrEnum):
    """How strongly student code is kept apart, found by a probe; ordered from weakest to strongest."""

    NONE = "none"
    REDUCED = "reduced"
    NAMESPACES = "namespaces"
    CONTAINER = "container"

    @property
    def rank(self) -> int:
        return list(Isolation).index(self)


class Sandbox(StrEnum):
    AUTO = "auto"
    PROCESS = "process"
    DOCKER = "docker"


class Check(Frozen):
    """One graded condition. `measure` is compared with `at_least` or `at_most`; both ends included."""

    name: Name
    measure: str = Field(description="what of a kind is measured, `pipeline.kinds` says")
    at_least: float | None = None
    at_most: float | None = None
    points: float = Field(gt=0)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"check {self.name!r} needs either at_least or at_most")
        return self


class Limits(Frozen):
    """What one submission may use. Memory and logs are of one action, `seconds` of the whole execute stage."""

    memory_mb: int = Field(default=512, ge=LEAST_MB, le=MOST_MB)
    timeout_s: float = Field(default=300, gt=0, le=3600)
    logs_mb: int = Field(default=10, ge=0, le=10)
    seconds: float = Field(default=1800, gt=0)
    start_s: float = Field(default=60, gt=0)
    processes: int = Field(default=64, ge=1)
    source_files: int = Field(default=2000, ge=1)
    source_mb: float = Field(default=20, gt=0)
    source_depth: int = Field(default=16, ge=1)


class LateRule(Frozen):
    """After the deadline: `days` more are accepted, each taking `percent_a_day` of the points."""

    days: int = Field(default=0, ge=0)
    percent_a_day: float = Field(default=0, ge=0, le=100)


class Assignment(Frozen):
    """One task of a course."""

    name: Name
    title: str = ""
    job: Job = Field(default_factory=TrainJob)
    data: Data = Field(default_factory=TrainData)
    checks: tuple[Check, ...] = Field(default=(), description="beside those that the data bring with them")
    passed_from: float = Field(ge=0, description="points from which the assignment is passed")
    limits: Limits = Field(default_factory=Limits)
    opens: frozenset[str] = Field(default=frozenset(), description="keys of the job that a submission may set")
    deadline: AwareDatetime | None = None
    late: LateRule = Field(default_factory=LateRule)
    attempts: int | None = Field(default=None, ge=1)
    extensions: tuple[Extension, ...] = Field(default=(), description="of the deadline and the attempts, by student")
    counts: Literal["best", "last"] = "best"
    base: str = Field(default=DEFAULT_BASE, description="the base that images build on")
    index: str | None = Field(default=None, description="package index, a campus mirror say; none: uv's default")
    packages: tuple[str, ...] | None = Field(default=None, description="allowed packages; none: every wheel")
    locked_as_of: AwareDatetime | None = Field(default=None, description="no package younger than this")
    least_isolation: Isolation = Isolation.CONTAINER
    secret_file: Path | None = Field(default=None, description="seeds order and changes of the test images; none: made")

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if self.data.kind != self.job.kind:
            raise ValueError(
                f"{self.name!r} has data of the kind {self.data.kind}, and its job is of the kind {self.job.kind}: "
                f'write kind = "{self.job.kind}" into its data too'
            )
        traits = TRAITS[self.job.kind]
        for check in self.graded:
            if traits.measure(check.measure) is None:
                near = nearest(check.measure, traits.names()).replace("the keys here", "its measures")
                raise ValueError(f"check {check.name!r} is on {check.measure!r}, which no {self.job.kind} has: {near}")
            if lack := traits.unmeasured(self.job, check.measure):
                raise ValueError(f"check {check.name!r} is on {check.measure!r}; {lack.instead}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.graded:
            raise ValueError(f"{self.name!r} has no check, so nothing can be graded")
        names = [check.name for check in self.graded]
        if len(set(names)) < len(names):
            raise ValueError(f"two checks of {self.name!r} have the same name")
        if self.passed_from > self.max_points:
            raise ValueError(f"passed_from is {self.passed_from:g}, and the checks give {self.max_points:g} points")
        if faults := faults_of_extensions(self.extensions, self.deadline, self.attempts):
            raise ValueError("; ".join(faults))
        unknown = self.opens - openable(self.job)
        if unknown:
            raise ValueError(f"opens names {', '.join(sorted(unknown))}, which the job does not have")
        return self

    @property
    def graded(self) -> tuple[Check, ...]:
        """Every check: those of the data, such as one for each case, then those that the assignment names."""
        return (*(Check.model_validate(one) for one in self.data.checks()), *self.checks)

    @property
    def open_until(self) -> datetime | None:
        """With the late days; none without a deadline."""
        return None if self.deadline is None else self.deadline + timedelta(days=self.late.days)

    def is_too_late(self, arrived: datetime) -> bool:
        """Whether a push of that time is refused."""
        return late_days(arrived, self.deadline) > self.late.days

    @property
    def max_points(self) -> float:
        return sum(check.points for check in self.graded)

    def of(self, student: str) -> Assignment:
        """As it is for one student: the own extension taken in, and nobody's named."""
        if not self.extensions:
            return self
        own = next((one for one in self.extensions if one.student == student), None)
        values = own.model_dump(include={"deadline", "attempts"}, exclude_none=True) if own else {}
        return self.model_copy(update={**values, "extensions": ()})


class Servers(Frozen):
    """Where OpenWhisk, the store and the registry are. None: the embedded ones, and no registry."""

    apihost: str | None = None
    auth_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    advertise: str | None = Field(
        default=None, pattern=ADDRESS, description="this host's address as OpenWhisk's containers reach it"
    )
    bind: str | None = Field(
        default=None, pattern=ADDRESS, description="what is listened on for them; none: `advertise`"
    )
    ports: str | None = Field(
        default=None, pattern=r"^\d{1,5}-\d{1,5}$", description="first-last of these ports; none: any free ones"
    )
    registry: str | None = Field(default=None, description="host:port, with a path where images lie below one")
    registry_auth_file: Path | None = Field(default=None, description="user:password in one line")
    store_endpoint: str | None = Field(default=None, pattern=URL, description="http(s)://host:port of MinIO")
    store_auth_file: Path | None = Field(default=None, description="ACCESS:SECRET in one line")
    store_ca_file: Path | None = None
    networks: str = Field(default="10.213.0.0/16", description="docker: networks of runs are cut from it, /28 each")
    pool_mb: int | None = Field(default=None, ge=128, description="the embedded server's memory pool")
    prewarmed: int = Field(default=0, ge=0, le=64)
    prewarmed_mb: int = Field(default=256, ge=128)

    @model_validator(mode="after")
    def _another_store_is_whole(self) -> Self:
        if self.store_endpoint is not None and self.store_auth_file is None:
            raise ValueError("store_endpoint names a store, which needs store_auth_file (ACCESS:SECRET) too")
        return self

    @property
    def port_range(self) -> tuple[int, int] | None:
        first, _, last = (self.ports or "").partition("-")
        return (int(first), int(last)) if self.ports else None

    @model_validator(mode="after")
    def _ports_are_a_range(self) -> Self:
        if self.port_range and not 1024 <= self.port_range[0] <= self.port_range[1] <= 65535:
            raise ValueError(f"ports: {self.ports} is no range of ports from 1024 to 65535, such as 31000-31099")
        return self

    @model_validator(mode="after")
    def _another_openwhisk_is_whole(self) -> Self:
        needed = {
            "auth_file": (self.auth_file, "a file with its key, uuid:key"),
            "advertise": (self.advertise, "this host's address as its containers reach it"),
            "registry": (self.registry, "where it pulls the images from"),
        }
        missing = [f"{name} ({what})" for name, (value, what) in needed.items() if not value]
        if self.apihost is not None and missing:
            raise ValueError(f"apihost names an OpenWhisk, which needs {', '.join(missing)} too")
        return self


class BaseRecipe(Frozen):
    """What images build on: Python from an image or a root file system, and packages on it; or an image as it is."""

    name: Name
    from_image: str | None = Field(default=None, description="an image with Python, pulled where it is not there")
    rootfs: Path | None = Field(default=None, description="a root file system with Python: a folder or a tar")
    image: str | None = Field(default=None, description="an image with all its packages, name@sha256:...")
    packages: tuple[str, ...] = Field(default=(), description="laid onto the image; none: torch and numpy")

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if sum(one is not None for one in (self.from_image, self.rootfs, self.image)) > 1:
            raise ValueError(f"base {self.name!r} begins with one of from_image, rootfs and image")
        if self.image is not None and (self.packages or not DIGEST.search(self.image)):
            raise ValueError(f"base {self.name!r}: image is name@sha256:... and has its packages already")
        return self


class Course(Frozen):
    """Staff's settings. `practice` is true where no course file was given."""

    name: Name = "practice"
    title: str = ""
    assignments: tuple[Assignment, ...]
    bases: tuple[BaseRecipe, ...] = ()
    servers: Servers = Field(default_factory=Servers)
    practice: bool = False
    wheels: Path | None = Field(default=None, description="a folder of wheels asked before the index")
    cache: Path | None = Field(default=None, description="environments, bases, locks and data sets are kept here")
    alert: tuple[str, ...] = Field(default=(), description="a command that is told, by its input, what was parked")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len({one.name for one in self.assignments}) < len(self.assignments):
            raise ValueError("two assignments have the same name")
        return self

    @model_validator(mode="after")
    def _bases_are_there(self) -> Self:
        names = [DEFAULT_BASE, *(one.name for one in self.bases if one.name != DEFAULT_BASE)]
        if len(names) < len(self.bases) or len(set(names)) < len(names):
            raise ValueError("two bases have the same name")
        for one in self.assignments:
            if one.base not in names:
                raise ValueError(f"{one.name} builds on base {one.base!r}, and there are {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _what_is_checked_can_be_measured(self) -> Self:
        checked = [one.name for one in self.assignments if any(each.measure == MEMORY for each in one.graded)]
        if self.servers.apihost is not None and checked:
            raise ValueError(
                f"{', '.join(checked)}: no check on {MEMORY} can be graded with servers.apihost: a real OpenWhisk "
                "measures no memory; its limit holds all the same"
            )
        return self

    def base(self, name: str) -> BaseRecipe | None:
        """What the course says of a base; None: nothing, as of the default one that is built in."""
        return next((one for one in self.bases if one.name == name), None)

    def assignment(self, name: str) -> Assignment | None:
        return next((one for one in self.assignments if one.name == name), None)

    def assignment_of(self, student: str, name: str) -> Assignment | None:
        found = self.assignment(name)
        return found.of(student) if found else None

    def of(self, student: str) -> Course:
        """As it is for one student, with the own deadlines and attempts."""
        return self.model_copy(update={"assignments": tuple(one.of(student) for one in self.assignments)})


def late_days(arrived: datetime, deadline: datetime | None) -> int:
    """Started days between the deadline and the arrival; 0 in time or without a deadline.

    Arrivals count by the second, as reflogs tell them: what comes after it tells pushes of one second apart.
    """
    arrived = arrived.replace(microsecond=0)
    if deadline is None or arrived <= deadline:
        return 0
    return -((deadline - arrived) // timedelta(days=1))
