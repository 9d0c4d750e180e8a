"""What can be set of the embedded servers, what they keep from start to start, and how they are reached."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pipeline.embedded.contract import Message
from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.settings import Isolation, Sandbox


class Outside(Message):
    """Another OpenWhisk that runs the actions. Services listen on `bind`; its containers reach them at `advertise`."""

    apihost: str = Field(description="http(s)://host:port")
    auth_file: Path = Field(description="uuid:key in one line")
    ca_file: Path | None = None
    insecure: bool = False
    bind: str
    advertise: str
    ports: tuple[int, int] | None = Field(default=None, description="first and last to listen on; none: any free ones")


class OutsideStore(Message):
    """Another store that holds course and runs: no store is started here, forwarders lead there."""

    url: str = Field(description="http(s)://host:port")
    ca_file: Path | None = None


class EmbeddedSettings(Message):
    """Settings of one supervised process. Ports of 0: free ones, the same again after a restart."""

    sandbox: Sandbox = Sandbox.AUTO
    openwhisk_port: int = Field(default=0, ge=0, le=65535)
    store_port: int = Field(default=0, ge=0, le=65535)
    pool_mb: int | None = Field(default=None, ge=128, description="none: the lesser of 4096 and half of RAM")
    prewarmed: int = Field(default=0, ge=0, le=64)
    prewarmed_mb: int = Field(default=256, ge=128)
    concurrent: int = Field(default=30, ge=1, description="activations of one namespace at once")
    per_minute: int = Field(default=100_000, ge=1, description="invocations of one namespace a minute")
    namespace: str = Field(default="guest", pattern=r"\A[A-Za-z0-9_-]{1,64}\z")
    networks: str = Field(default="10.213.0.0/16", description="docker: networks of runs are cut from it, /28 each")
    containers: int = Field(default=12, ge=1, description="docker: at most so many at once; beyond 12 a larger network")
    guest: bool = Field(default=False, description="actions reach OpenWhisk's API and the store where nothing is said")
    reach: tuple[str, ...] = Field(default=(), description="of the guest: host:port that its containers reach too")
    registry: str | None = Field(default=None, description="docker: host:port of the registry to pull from")
    registry_auth_file: Path | None = Field(default=None, description="user:password in one line")
    outside: Outside | None = Field(default=None, description="no OpenWhisk here: actions run in that one")
    store: OutsideStore | None = Field(default=None, description="no stores here: that one holds everything")
    idle_s: float = Field(default=900, ge=0, description="ends after so many idle seconds; 0: never")


class OpenWhiskAccess(Message):
    apihost: str = Field(description="http://host:port")
    auth: str = Field(repr=False, description="uuid:key of the namespace; empty for one outside: its file has it")


class StoreKeys(Message):
    """`endpoint` is host:port; the pair opens every bucket there."""

    endpoint: str
    access_key: str
    secret_key: str = Field(repr=False)


class Ready(Message):
    """The file `servers.json`, 0600: written once all answer.

    `store` is the course's, `run_store` the run's; none where another store has them.
    """

    pid: int
    started: float
    state: Path
    control: Path = Field(description="the control API's Unix socket")
    namespace: str
    openwhisk: OpenWhiskAccess
    store: StoreKeys | None
    run_store: StoreKeys | None
    isolation: Isolation
    unenforced: tuple[str, ...] = ()
    inside: dict[str, str] = Field(default_factory=dict, description="of the guest: where containers reach what it may")

    def shared(self) -> dict[str, Any]:
        """What `pipeline serve --ready-file` writes."""
        whole = self.model_dump(mode="json")
        return {name: whole[name] for name in ("openwhisk", "store", "inside")}


class Kept(Message):
    """Ports and key pairs: the same after a restart, so that signed URLs and settings stay valid."""

    openwhisk_port: int = 0
    ports: dict[str, int] = Field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = Field(default_factory=dict, repr=False)

    def with_keys(self, *stores: str) -> Kept:
        made = {name: self.keys.get(name) or (secrets.token_hex(10), secrets.token_hex(20)) for name in stores}
        return self.model_copy(update={"keys": made})


def read_kept(path: Path) -> Kept:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Kept()
    except ValidationError as error:
        raise InfrastructureError(f"{path} cannot be read", hint="remove the state folder and start anew") from error


def write_private(path: Path, message: Message) -> None:
    write_json(path, message.model_dump(mode="json"), mode=0o600)
