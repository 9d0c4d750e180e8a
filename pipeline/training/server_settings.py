"""What a parameter server is started with. Frozen, read from JSON, every fault named at once."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from pipeline.errors import CourseError, Fault
from pipeline.frozen import Frozen

WorkerId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
MEBIBYTE = 2**20


class Grant(Frozen):
    """One worker that may register: its id, its token and the shard that it trains."""

    id: WorkerId
    token: SecretStr
    shard: int = Field(ge=0, lt=64)


class FolderCheckpoints(Frozen):
    kind: Literal["folder"] = "folder"
    folder: Path


class BucketCheckpoints(Frozen):
    """A bucket of the course's store, reached at `endpoint` (host:port or URL) with the course's own key pair.

    `ca_file`: what its certificate is checked against; none: what the system trusts.
    """

    kind: Literal["bucket"] = "bucket"
    endpoint: str
    access_key: str
    secret_key: SecretStr
    ca_file: Path | None = None
    bucket: str
    prefix: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")


class ServerSettings(Frozen):
    """Where a server listens, whom it lets in, how it averages and steps, and what bounds it. Times in seconds."""

    socket: Path | None = Field(default=None, description="the workers' Unix socket")
    host: str | None = Field(default=None, description="the workers' TCP address")
    port: int = Field(default=0, ge=0, le=65535, description="0: chosen, told in the ready file")
    control_socket: Path | None = Field(default=None, description="the coordinator's Unix socket")
    ready_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    open: bool = Field(default=False, description="asks no tokens; on loopback only")
    shared_token: SecretStr | None = Field(default=None, description="one token for all ids, by hand")
    grants: tuple[Grant, ...] = ()
    shards: int = Field(default=0, ge=0, le=64, description="shards of the run; 0: as many as workers come")

    mode: Literal["sync", "async", "bounded-staleness"] = "sync"
    staleness: int = Field(default=4, ge=0, le=1000, description="gradients that a shard may be ahead of the slowest")
    scale_by_staleness: bool = Field(default=False, description="divides a gradient by 1 + the updates it is late")
    gradients_per_update: int = Field(default=0, ge=0, le=1024, description="0: one of each live shard (sync) or one")
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=0.03, gt=0, le=10)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    updates: int = Field(default=0, ge=0, description="the run ends after so many; 0: when every shard has finished")

    checkpoints: FolderCheckpoints | BucketCheckpoints | None = Field(default=None, discriminator="kind")
    checkpoint_updates: int = Field(default=100, ge=1, description="a resumed run repeats at most so many updates")
    scored_versions: frozenset[int] = Field(default=frozenset(), description="versions whose parameters are kept")

    start_wait_s: float = Field(default=60, ge=0, le=3600, description="how long a barrier waits for expected shards")
    lease_s: float = Field(default=60, gt=0, le=3600)
    max_workers: int = Field(default=64, ge=1, le=64)
    max_parameters_mb: float = Field(default=64, gt=0, le=1024)
    max_gradient_norm: float = Field(default=1e4, gt=0)
    requests_per_second: int = Field(default=5000, ge=1, description="of one worker")
    queue: int = Field(default=4096, ge=1, le=4096)
    queue_wait_s: float = Field(default=5, ge=0, le=60)
    servers: int = Field(default=1, ge=1)

    @property
    def max_body(self) -> int:
        """Bytes of the largest body that a worker may send."""
        return int(self.max_parameters_mb * MEBIBYTE)

    @property
    def threads(self) -> int:
        """Each worker may hold one at the barrier; four more answer the others meanwhile."""
        return max(self.shards, len(self.grants), 4 if self.shards else self.max_workers) + 4

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.servers != 1:
            raise ValueError(f"servers: {self.servers} parameter servers were asked for, and only one is supported yet")
        if self.socket is None and self.host is None:
            raise ValueError("socket or host: the server has no address to listen on")
        if not (self.open or self.shared_token or self.grants):
            raise ValueError("grants: no worker may register; name grants, a shared token, or open")
        if self.open and self.host is not None and not is_loopback(self.host):
            raise ValueError(f"open: a server without tokens listens on loopback only, not on {self.host}")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate: a certificate needs its private key, and the other way round")
        if self.shards and any(grant.shard >= self.shards for grant in self.grants):
            raise ValueError(f"grants: a shard is not below the {self.shards} shards of the run")
        if len({grant.id for grant in self.grants}) != len(self.grants):
            raise ValueError("grants: two of them have the same id")
        return self


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_settings(path: Path) -> ServerSettings:
    """The settings in a JSON file. Raises CourseError with every fault where they are not valid."""
    try:
        return ServerSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}", hint="name a file with --config") from None
    except ValidationError as error:
        raise CourseError(f"{path} is no valid configuration of a parameter server", faults=faults_of(error)) from None


def by_hand_settings(
    *,
    master_addr: str = "127.0.0.1",
    master_port: int = 29500,
    batch_sz: int = 4,
    learning_rate: float = 0.03,
    open_: bool = False,
    shared_token: str | None = None,
    **others: object,
) -> ServerSettings:
    """The settings of a server started by hand: `batch_sz` gradients an update, no barrier, as in the course's notes.

    Raises CourseError where they cannot be, such as `open_` on an address that is not loopback.
    """
    values: dict[str, object] = {
        "host": master_addr,
        "port": master_port,
        "gradients_per_update": batch_sz,
        "learning_rate": learning_rate,
        "open": open_,
        "shared_token": shared_token,
        "mode": "async",
        "momentum": 0.0,
    }
    try:
        return ServerSettings.model_validate(values | others)
    except ValidationError as error:
        raise CourseError("the parameter server cannot be started so", faults=faults_of(error)) from None


def faults_of(error: ValidationError) -> list[Fault]:
    """What concerns the settings as a whole begins with the name of one: `open: a server without ...`."""
    found = []
    for one in error.errors():
        place, message = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
        name, _, rest = message.partition(": ")
        found.append(Fault(place, message) if place else Fault(name, rest))
    return found
