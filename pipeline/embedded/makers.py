"""Which maker of containers a supervisor works with."""

from __future__ import annotations

from pathlib import Path

from pipeline.embedded.reaping import note_child
from pipeline.embedded.sandbox.maker import ProcessMaker
from pipeline.embedded.state import State
from pipeline.errors import CourseError
from pipeline.settings import Isolation, Sandbox


class Makers:
    """`auto` is the process sandbox; docker comes later."""

    def __init__(self, state: State, sockets: Path, sandbox: Sandbox) -> None:
        if sandbox is Sandbox.DOCKER:
            raise CourseError("the docker sandbox is not there yet", hint="use --sandbox process")
        self.maker = ProcessMaker(state.image_file, sockets, lambda pid, what: note_child(state, pid, what))

    @property
    def isolation(self) -> Isolation:
        return self.maker.level.isolation

    @property
    def unenforced(self) -> tuple[str, ...]:
        return self.maker.level.unenforced

    async def close(self) -> None:
        await self.maker.close()
