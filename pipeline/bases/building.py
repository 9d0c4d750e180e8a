"""Images built from a context without RUN: within limits, without network, and every word of the builder kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.bases.context import write_context
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.errors import InfrastructureError
from pipeline.files import write_text

OURS = "ml-pipeline"
"""The label that everything built here has, unfinished layers too: it stands in each Dockerfile."""
MEMORY = 2 * 2**30
STALE = "1h"
CONFLICT = 409
FULL = ("no space left on device", "disk quota exceeded")


@dataclass(frozen=True)
class Built:
    """An image by the engine's id; `cached`: nothing of it had to be made."""

    id: str
    cached: bool


def build_image(
    engine: Engine,
    dockerfile: str,
    folders: Mapping[str, Path],
    *,
    labels: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Built:
    """Builds; the image has no name yet. Raises InfrastructureError: nothing of this is a student's choice."""
    words: list[str] = []
    made = complaint = ""
    try:
        with tempfile.TemporaryFile() as context:
            write_context(context, dockerfile, folders)
            for step in engine.api.build(
                fileobj=context,
                custom_context=True,
                rm=True,
                forcerm=True,
                decode=True,
                labels=dict(labels or {}),
                network_mode="none",
                container_limits={"memory": MEMORY, "memswap": MEMORY},
            ):
                words.append(str(step.get("stream") or step.get("error") or ""))
                made = str((step.get("aux") or {}).get("ID") or made)
                complaint = str(step.get("error") or complaint)
    except ENGINE_ERRORS as error:
        complaint = said(error)
    finally:
        if log is not None:
            write_text(log, "".join(words))
    if complaint or not made:
        raise failed(complaint or "it gave no image")
    return Built(made, cached=all_cached(words))


def failed(complaint: str) -> InfrastructureError:
    if any(sign in complaint.lower() for sign in FULL):
        hint = "free space on the engine's disk, such as by `docker image prune --all --filter label=ml-pipeline.run`"
        return InfrastructureError("the docker engine's disk is full: the image was not built", hint=hint)
    return InfrastructureError(f"the docker engine could not build the image: {complaint}", hint="see the build's log")


def all_cached(words: list[str]) -> bool:
    """Whether each step but FROM was there already."""
    steps = sum(one.startswith("Step ") for one in words)
    return sum("Using cache" in one for one in words) >= steps - 1


def name_image(engine: Engine, image: str, reference: str) -> None:
    """Gives an image its name, which from then on stands for this one. Raises InfrastructureError."""
    name, _, tag = reference.rpartition(":")
    try:
        engine.api.tag(image, name, tag)
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine could not name {reference}: {said(error)}") from error


def remove_unfinished(engine: Engine) -> None:
    """Removes what builds that were killed have left: of ours, without a name, and older than any build takes."""
    try:
        engine.client.images.prune({"dangling": True, "label": OURS, "until": STALE})
    except ENGINE_ERRORS as error:
        if getattr(error, "status_code", None) == CONFLICT:
            return  # another one is at it
        raise InfrastructureError(f"the docker engine could not tidy up: {said(error)}") from error
