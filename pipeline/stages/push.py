"""push: puts the image where the workers' side finds it. In the process sandbox that is this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.run import done

if TYPE_CHECKING:
    from pipeline.backends import Backends
    from pipeline.listener import StageLog
    from pipeline.run import Run


def push(run: Run, backends: Backends, log: StageLog) -> None:
    """Pushes the image and keeps the digest to expect."""
    built = done(run.record.image, "build")
    pushed = backends.images.push(built, run.image_file)
    run.update(image=pushed)
    log("no registry: the image stays on this machine" if pushed == built else f"in the registry as {pushed.digest}")
