"""The servers of one run, embedded: one supervised process, started or attached to at the first use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from pipeline.backends.functions import Functions
from pipeline.backends.functions.openwhisk import OpenWhiskClient
from pipeline.backends.servers import ForwarderRequest, StoreAccess, Traffic
from pipeline.backends.servers.stores import EmbeddedStores, ExternalStores, Stores
from pipeline.backends.store import Bucket, Key
from pipeline.embedded import client
from pipeline.embedded.contract import (
    DockerImage,
    Forward,
    InvocationKey,
    Invoked,
    Invoking,
    Pool,
    ProcessImage,
    Reach,
    Service,
    Usage,
)
from pipeline.embedded.openwhisk.settings import Settings as OpenWhiskSettings
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.state import State
from pipeline.run import Run

LEAST_CONTAINERS, SPARE_CONTAINERS = 12, 4


class EmbeddedServers:
    """Implements `pipeline.backends.servers.Servers` for one run; its state lies in the run's private folder."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.forwarders: dict[str, ForwarderRequest] = {}
        named = run.record.course.servers.store_endpoint is not None
        self.stores: Stores = ExternalStores(run, self.renew) if named else EmbeddedStores(run, lambda: self.embedded)

    @property
    def measures(self) -> bool:
        return True

    def most_memory_mb(self) -> int | None:
        return OpenWhiskSettings.memory_mb[2]

    @cached_property
    def embedded(self) -> client.Embedded:
        return client.ensure(self.run.servers_file, self.run.servers_folder, self.settings())

    def settings(self) -> EmbeddedSettings:
        servers = self.run.record.course.servers
        return EmbeddedSettings(
            sandbox=self.run.record.request.sandbox,
            pool_mb=servers.pool_mb,
            prewarmed=servers.prewarmed,
            prewarmed_mb=servers.prewarmed_mb,
            networks=servers.networks,
            containers=self.containers(),
            registry=servers.registry,
            registry_auth_file=servers.registry_auth_file,
            store=self.stores.outside,
        )

    def containers(self) -> int:
        """At a time: the workers, and what predicts or ends meanwhile."""
        checked = self.run.record.checked
        return max(LEAST_CONTAINERS, checked.job.at_once + SPARE_CONTAINERS if checked else 0)

    @cached_property
    def _functions(self) -> Functions:
        return OpenWhiskClient(self.embedded.apihost, self.embedded.auth)

    @cached_property
    def _course_bucket(self) -> Bucket:
        return self.stores.course_bucket()

    @cached_property
    def _run_bucket(self) -> Bucket:
        return self.stores.run_bucket()

    def functions(self) -> Functions:
        return self._functions

    def course_bucket(self) -> Bucket:
        return self._course_bucket

    def course_access(self) -> StoreAccess:
        return self.stores.course_access()

    def run_bucket(self) -> Bucket:
        return self._run_bucket

    def run_key(self, valid_for: timedelta) -> Key:
        return self.stores.run_key(valid_for)

    def install(self, image: ProcessImage | DockerImage) -> None:
        self.embedded.install(image)

    def open_forwarder(self, request: ForwarderRequest) -> Path:
        self.forwarders[request.name] = request
        return self.embedded.open_forwarder(self.forward(request))

    def forward(self, request: ForwarderRequest) -> Forward:
        return Forward(
            name=request.name,
            store=request.store,
            allowed=request.allowed,
            exact=request.exact,
            bucket=self.stores.run_bucket_name if request.own_bucket else "",
            keys=self.stores.passing(request.store),
            expires=request.expires,
            requests=request.requests,
            bytes_total=request.bytes_total,
            bytes_sent=request.bytes_sent,
            stored_bytes=request.stored_bytes,
        )

    def renew(self) -> None:
        """The run has a further key: its forwarders let that one pass too."""
        for request in self.forwarders.values():
            if request.store == "run":
                self.embedded.open_forwarder(self.forward(request))

    def traffic(self, name: str) -> Traffic:
        counts = self.embedded.forwarder_counts(name)
        return Traffic(counts.requests, counts.bytes_sent, counts.bytes_received, counts.seconds)

    def open_invocations(self, rule: Invoking) -> InvocationKey:
        return self.embedded.open_invocations(rule)

    def invoked(self, name: str) -> Invoked:
        return self.embedded.invoked(name)

    def set_reach(self, action: str, services: Sequence[Service]) -> dict[str, str]:
        checked = self.run.record.checked
        assert checked is not None, "nothing is invoked before check"
        processes = checked.assignment.limits.processes
        namespace = self.embedded.namespace
        return self.embedded.set_reach(
            Reach(namespace=namespace, action=action, services=tuple(services), processes=processes)
        )

    def usage(self) -> Sequence[Usage]:
        return self.embedded.usage()

    def pool(self) -> Pool | None:
        return self.embedded.pool()

    @property
    def ready_file(self) -> Path:
        """What names the servers; their own file where this process's last one was killed before it wrote the run's."""
        given = self.run.servers_file
        return given if given.exists() else State(self.run.servers_folder).ready_file

    def started(self) -> bool:
        return self.ready_file.exists() or self.stores.left()

    def cancel(self) -> None:
        running = client.attach(self.ready_file)
        if running is not None:
            running.cancel()

    def stop(self) -> None:
        client.reap(self.ready_file)
        self.run.servers_file.unlink(missing_ok=True)
        self.forwarders.clear()
        for name in ("embedded", "_functions", "_course_bucket", "_run_bucket"):
            self.__dict__.pop(name, None)
        self.stores.clear()
