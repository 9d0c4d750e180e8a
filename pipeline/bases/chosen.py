"""A base that a course takes as it is, by digest: pulled, and asked what it has."""

from __future__ import annotations

from pathlib import Path

from pipeline.backends.images import Base
from pipeline.bases.base_images import base_of
from pipeline.bases.inside import inside
from pipeline.bases.pulling import provide
from pipeline.embedded.docker.engine import Engine
from pipeline.embedded.docker.images import Registry
from pipeline.settings import BaseRecipe


def chosen(engine: Engine, recipe: BaseRecipe, cache: Path, registry: Registry | None) -> Base:
    """Raises CourseError where it cannot be pulled or nothing can be built on it, InfrastructureError."""
    assert recipe.image is not None, "the caller has looked"
    provide(engine, recipe.image, registry)
    digest = recipe.image.rpartition("@")[2]
    return base_of(recipe.name, recipe.image, digest, inside(engine, recipe.image, cache))
