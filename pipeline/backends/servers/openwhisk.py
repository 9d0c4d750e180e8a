"""The servers of one run with a real OpenWhisk: actions run there, everything else answers here for its containers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

from pipeline.backends.functions import Functions
from pipeline.backends.functions.openwhisk import OpenWhiskClient, base_url
from pipeline.backends.functions.paced import PacedFunctions
from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.embedded.contract import DockerImage, Pool, ProcessImage, Usage
from pipeline.embedded.openwhisk.settings import MB
from pipeline.embedded.settings import EmbeddedSettings, Outside
from pipeline.errors import CourseError
from pipeline.files import write_text
from pipeline.run import Run
from pipeline.settings import Servers

TELL_S = 60.0
"""Of the many seconds that servers wait for anybody to ask them something, before they end."""


class OpenWhiskServers(EmbeddedServers):
    """Implements `pipeline.backends.servers.Servers`.

    The run's own process has the stores, the forwarders and ports for the containers. What a real OpenWhisk does not
    offer is not there: its pool is not seen, nothing is measured, and running activations cannot be ended. They lose
    everything that they hold, since tokens, keys and ports end with the run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.told = time.monotonic()

    @property
    def measures(self) -> bool:
        return False

    @property
    def course_servers(self) -> Servers:
        return self.run.record.course.servers

    def settings(self) -> EmbeddedSettings:
        return super().settings().model_copy(update={"outside": outside(self.course_servers)})

    @cached_property
    def _functions(self) -> Functions:
        there = outside(self.course_servers)
        connection = OpenWhiskClient(there.apihost, key(there), ca_file=there.ca_file, insecure=there.insecure)
        return PacedFunctions(connection)

    def most_memory_mb(self) -> int | None:
        said = self._functions.server_limits().get("max_action_memory")
        return int(said) // MB if isinstance(said, int | float) else None

    def functions(self) -> Functions:
        """From the first use on there may be actions of the run, which `stop` deletes."""
        if not self.run.elsewhere_file.exists():
            write_text(self.run.elsewhere_file, self.course_servers.apihost or "", mode=0o600)
        return self._functions

    def install(self, image: ProcessImage | DockerImage) -> None:
        """Nothing to install: OpenWhisk pulls it. Raises CourseError where it is in no registry."""
        if not isinstance(image, DockerImage) or not image.digest:
            raise CourseError(
                f"OpenWhisk at {self.course_servers.apihost} cannot pull {image.reference}: it is in no registry",
                hint="set servers.registry, and use --sandbox docker",
            )

    def usage(self) -> Sequence[Usage]:
        return ()

    def pool(self) -> Pool | None:
        """None. Who waits for workers asks again and again: the run's process is told that somebody does."""
        if time.monotonic() - self.told > TELL_S:
            self.embedded.status()
            self.told = time.monotonic()
        return None

    def started(self) -> bool:
        return self.run.elsewhere_file.exists() or super().started()

    def cancel(self) -> None:
        """Running activations run on; see `stop`."""

    def stop(self) -> None:
        """Ends what answers the run's activations, then deletes every action of the run."""
        try:
            super().stop()
        finally:
            self.delete_actions()

    def delete_actions(self) -> None:
        """What cannot be reached now is deleted by the next `stop`, of whichever process."""
        if self.run.elsewhere_file.exists():
            for name in self._functions.action_names(self.run.record.run):
                self._functions.delete_action(name)
            self.run.elsewhere_file.unlink()
            self.__dict__.pop("_functions", None)


def outside(servers: Servers) -> Outside:
    """Where that OpenWhisk is. The settings are whole where `apihost` is named."""
    assert servers.apihost and servers.auth_file and servers.advertise, "checked with the course's settings"
    return Outside(
        apihost=base_url(servers.apihost),
        auth_file=servers.auth_file,
        ca_file=servers.ca_file,
        insecure=servers.insecure,
        bind=servers.bind or servers.advertise,
        advertise=servers.advertise,
        ports=servers.port_range,
    )


def key(there: Outside) -> str:
    """The namespace's `uuid:key`. Raises CourseError; the message never holds what the file holds."""
    try:
        found = there.auth_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{there.auth_file} cannot be read: {error}", hint="check servers.auth_file") from None
    user, colon, rest = found.partition(":")
    if not (user and colon and rest) or len(found.split()) != 1:
        raise CourseError(f"{there.auth_file} holds no key of OpenWhisk", hint="one line, uuid:key, as in ~/.wskprops")
    return found
