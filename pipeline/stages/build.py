"""build: the environment of the lock, then the image. Nothing of a student or a package author runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.backends.images import BuildRequest
from pipeline.course import cache_folder
from pipeline.environments import make_environment
from pipeline.package_tool import PackageTool
from pipeline.rendering import image_reference
from pipeline.run import Record, done

if TYPE_CHECKING:
    from pipeline.backends import Backends
    from pipeline.listener import StageLog
    from pipeline.run import Run


def build(run: Run, backends: Backends, log: StageLog) -> None:
    """Makes what is missing and describes it in the run's image file.

    Raises InfrastructureError where wheels cannot be installed: requirement, phase, evidence, one thing to do.
    """
    record = run.record
    checked, fetched = done(record.checked, "check"), done(record.fetched, "fetch")
    done(record.rendered, "render")
    cache = cache_folder(record.course)
    base = backends.images.base(checked.assignment.base)
    tool = PackageTool.of(record.course, checked.assignment, cache)
    environment = make_environment(run.requirements_lock, checked.lock_sha256, base, cache, tool)
    log(f"environment: {describe(checked.locked, environment.cached)}")
    request = BuildRequest(
        run=record.run,
        reference=image_reference(record.course, checked.assignment.name, record.run),
        tree_sha256=fetched.tree_sha256,
        image_file=run.image_file,
        base=base,
        source=run.source,
        environment=environment.folder,
        lock_sha256=checked.lock_sha256,
        dockerfile=run.dockerfile.read_text(encoding="utf-8"),
        environment_bytes=environment.size_bytes,
        labels=provenance(record),
        build_log=run.build_log,
    )
    image = backends.images.build(request)
    image = image.model_copy(
        update={
            "cached": image.cached and environment.cached,
            "notes": (*image.notes, *environment.notes),
        }
    )
    run.update(image=image)
    for note in image.notes:
        log(note)
    log(f"image {image.reference} {image.digest[:19]}, {image.size_bytes / 2**20:.0f} MB")


def provenance(record: Record) -> dict[str, str]:
    """Which submission an image was built from, by ids and hashes: a student's name is in none."""
    checked, fetched = done(record.checked, "check"), done(record.fetched, "fetch")
    return {
        "ml-pipeline.run": record.run,
        "ml-pipeline.course": record.course.name,
        "ml-pipeline.assignment": checked.assignment.name,
        "ml-pipeline.tree": fetched.tree_sha256,
        "ml-pipeline.lock": checked.lock_sha256,
        "org.opencontainers.image.revision": fetched.commit or "",
    }


def describe(locked: tuple[str, ...], cached: bool) -> str:
    if not locked:
        return "the base has everything"
    return f"{', '.join(locked)} ({'there already' if cached else 'installed now'})"
