"""Stage 8: logs, records and figures of every activation come into the run's folder."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.backends import Backends
from pipeline.embedded.contract import Usage
from pipeline.errors import InfrastructureError
from pipeline.jobs import kind
from pipeline.listener import StageLog
from pipeline.run import Run, done


def collect(run: Run, backends: Backends, log: StageLog) -> None:
    """Brings in what the job left; what is missing is named in the figures, never guessed."""
    assert run.record.checked is not None, "collect comes after check"
    refuse_another_image(run, backends.servers.usage())
    kind(run.record.checked.job.kind).collect(run, backends, log)
    run.update(collected=True)


def refuse_another_image(run: Run, usage: Iterable[Usage]) -> None:
    """Raises InfrastructureError where something else ran than what was built: such a run grades nobody.

    A server that measures nothing tells no image either.
    """
    image = done(run.record.image, "build")
    for one in usage:
        if one.image and one.image not in {image.digest, image.id}:
            raise InfrastructureError(
                f"activation {one.activation} ran image {one.image}, and what was built is {image.id or image.digest}",
                hint="see who else writes to the engine or its registry, then run it anew",
            )
