"""What the embedded servers and the pipeline say to each other: plain data, sent as JSON over the control socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


CODE_IMAGE = "python:3"
"""The reference of the image that code actions run in, of whichever managed kind."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Every action computes in one thread, in whichever sandbox and on a real OpenWhisk: workers share the processors."""


class ProcessImage(Message):
    """The process sandbox's image: a manifest of folders, each put read-only into the sandbox."""

    sandbox: Literal["process"] = "process"
    reference: str
    digest: str
    python: Path = Field(description="the interpreter")
    base: Path = Field(description="the base's packages")
    environment: Path | None = Field(description="the unpacked wheels of the lock")
    code: Path = Field(description="the student's source")
    runner: Path = Field(description="the folder that holds the package `runner`")
    command: tuple[str, ...] = ("-m", "runner")
    variables: dict[str, str] = Field(default_factory=dict)


class DockerImage(Message):
    """What a reference must be on the docker engine: a tag that was moved since is not run."""

    sandbox: Literal["docker"] = "docker"
    reference: str
    id: str = Field(
        pattern=r"\Asha256:[0-9a-f]{64}\z", description="the engine's image id, the hash of its configuration"
    )
    digest: str = Field(default="", description="of the manifest in the registry; empty: it is in none")


Manifest = Annotated[ProcessImage | DockerImage, Field(discriminator="sandbox")]
"""What an image's reference stands for in either sandbox."""
read_manifest = TypeAdapter[ProcessImage | DockerImage](Manifest).validate_json


class Service(Message):
    """A service that one action's containers may reach, by where it answers out here: a Unix socket or host:port.

    Process sandbox: inside an empty network namespace a relay listens on 127.0.0.1:`port` and forwards there.
    Docker: `port` of the address that this host has on the run's network.
    """

    name: str
    socket: Path | None = None
    target: str = Field(default="", description="host:port, where there is no socket")
    port: int = Field(ge=1, le=65535)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.socket is None) == (not self.target):
            raise ValueError(f"service {self.name!r} is either a socket or host:port")
        return self


EVERY_ACTION = ""
API_SERVICE = "openwhisk"
"""The service by which an action's containers reach OpenWhisk's API: where there is one, `__OW_API_HOST` names it."""


class Reach(Message):
    """All that the containers of one action reach, and how many processes each may have at a time.

    That of `EVERY_ACTION` holds for all actions of the namespace that have none of their own.
    """

    namespace: str
    action: str
    services: tuple[Service, ...]
    processes: int = Field(default=64, ge=1)


class StoreKey(Message):
    """A key of a store that a forwarder lets pass. The forwarder adds the session token where a request has none."""

    access_key: str
    secret_key: str = Field(default="", repr=False, description="for the forwarder to ask what is stored")
    session_token: str = Field(default="", repr=False)
    expires: float | None = Field(default=None, description="seconds since the epoch")


class Forward(Message):
    """A forwarder to a store: what it lets pass, and how much. Its socket is the answer to asking for it.

    `allowed` are (method, path prefix) pairs; `exact` asks for equal paths. `bucket` instead of them: whatever a
    program does with a bucket of its own. Caps count all requests and all bytes.
    """

    name: str = Field(pattern=r"\A[a-z0-9][a-z0-9-]{0,63}\z")
    store: Literal["course", "run"]
    allowed: tuple[tuple[str, str], ...] = ()
    exact: bool = False
    bucket: str = Field(default="", pattern=r"\A[a-z0-9.-]*\z")
    keys: tuple[StoreKey, ...] = Field(default=(), description="requests signed with others are refused; none: any")
    expires: float | None = Field(default=None, description="seconds since the epoch; nothing passes after it")
    requests: int = Field(ge=0)
    bytes_total: int = Field(ge=0)
    bytes_sent: int | None = Field(default=None, ge=0, description="of bodies on the way to the store; none: as total")
    stored_bytes: int | None = Field(default=None, ge=0, description="the most that may lie in `bucket` at a time")

    @model_validator(mode="after")
    def _a_bucket_can_be_looked_into(self) -> Self:
        if (self.bucket and not self.keys) or (self.stored_bytes is not None and not self.bucket):
            raise ValueError(
                f"forwarder {self.name!r}: stored_bytes needs a bucket, and a bucket a key to look into it"
            )
        return self


class Forwarded(Message):
    """What a forwarder passed on. Bytes are those of bodies; `sent` went to the store. `refused` were not passed on."""

    requests: int = 0
    refused: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0


class Invoking(Message):
    """What student code may ask of OpenWhisk with a key of ours: these actions, so often, until then.

    Caps count all requests and all bytes of bodies; `invocations` those that OpenWhisk has accepted.
    """

    name: str = Field(pattern=r"\A[a-z0-9][a-z0-9-]{0,63}\z")
    actions: tuple[str, ...]
    invocations: int = Field(ge=0)
    requests: int = Field(ge=0)
    bytes_total: int = Field(ge=0)
    per_minute: int = Field(default=60, ge=1)
    expires: float = Field(description="seconds since the epoch")


class InvocationKey(Message):
    """Where OpenWhisk's API answers for student code, and the key that opens it there and nowhere else."""

    socket: Path
    auth: str = Field(repr=False, description="uuid:key, as every client of OpenWhisk takes it")


class Invoked(Message):
    """What student code has asked of OpenWhisk: requests and bytes passed on, and the activations that it started."""

    passed: Forwarded = Forwarded()
    invocations: int = 0


class Usage(Message):
    """Measured from outside, of the container of one activation. Bytes, seconds, MB of 2**20 bytes.

    Memory is anonymous memory and tmpfs of the whole process tree; mapped files do not count.
    """

    activation: str
    container: str
    image: str = Field(default="", description="what really ran: a manifest's digest, or the engine's image id")
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    processes: int = 0
    block_read: int = 0
    block_written: int = 0
    killed_for: str = Field(default="", description="empty, `memory`, `time`, `processes`")


class QueueEntry(Message):
    """An activation that waits for room in the pool."""

    activation: str
    namespace: str
    action: str
    memory_mb: int
    waiting_s: float
    position: int
    reason: str


class Pool(Message):
    """The memory pool, in MB, and its queue."""

    size_mb: int
    busy_mb: int
    idle_mb: int
    prewarmed_mb: int
    containers: int
    queue: tuple[QueueEntry, ...] = ()
