"""Which maker of containers a supervisor works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.embedded.reaping import note_child
from pipeline.embedded.sandbox.maker import ProcessMaker
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.state import State
from pipeline.settings import Isolation, Sandbox

if TYPE_CHECKING:
    from pipeline.embedded.docker.maker import DockerMaker


class Makers:
    """`auto` is the process sandbox. Made in the event loop that the maker is used in.

    Raises what a maker raises: InfrastructureError where docker was asked for and does not answer.
    """

    def __init__(self, state: State, sockets: Path, settings: EmbeddedSettings) -> None:
        self.maker: ProcessMaker | DockerMaker
        if settings.sandbox is Sandbox.DOCKER:
            self.maker = docker_maker(state, settings)
        else:
            self.maker = ProcessMaker(state.image_file, sockets, lambda pid, what: note_child(state, pid, what))

    @property
    def isolation(self) -> Isolation:
        return self.maker.level.isolation if isinstance(self.maker, ProcessMaker) else Isolation.CONTAINER

    @property
    def unenforced(self) -> tuple[str, ...]:
        return self.maker.level.unenforced if isinstance(self.maker, ProcessMaker) else self.maker.unenforced

    @property
    def containers(self) -> int | None:
        """How many there may be at once; None: as many as the pool's memory has room for."""
        return None if isinstance(self.maker, ProcessMaker) else self.maker.most

    async def close(self) -> None:
        await self.maker.close()


def docker_maker(state: State, settings: EmbeddedSettings) -> DockerMaker:
    """Imported where it is asked for: the engine's library takes a tenth of a second."""
    from pipeline.embedded.docker.maker import DockerMaker

    return DockerMaker(state, settings)
