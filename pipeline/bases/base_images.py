"""Bases that a docker engine has: found by name, described by a label that they carry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.backends.images import Base
from pipeline.bases.building import OURS
from pipeline.bases.inside import Inside
from pipeline.embedded.contract import Message
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.errors import InfrastructureError
from pipeline.settings import BaseRecipe
from pipeline.torch_builds import note_of

LABEL = f"{OURS}.base"
REPOSITORY = f"{OURS}/base"


class BaseLabel(Message):
    """What a base says of itself; `made_of` is the hash of what it was built from."""

    name: str
    made_of: str
    inside: Inside


@dataclass(frozen=True)
class BaseImage:
    """A base that the engine has, by the names that it is known by. Bytes; `created` as the engine writes times."""

    id: str
    references: tuple[str, ...]
    label: BaseLabel
    size_bytes: int
    created: str


def reference_of(name: str, recipe: BaseRecipe | None) -> str:
    """What a base is called on the engine; a course's own one by its recipe, since other courses have others."""
    if recipe is None:
        return f"{REPOSITORY}:{name}"
    return f"{REPOSITORY}:{name}-{hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:12]}"


def find_base(engine: Engine, reference: str) -> BaseImage | None:
    """None where the engine has no base of that name. Raises InfrastructureError where it does not answer."""
    return next((one for one in base_images(engine, reference) if reference in one.references), None)


def base_images(engine: Engine, reference: str | None = None) -> list[BaseImage]:
    """All bases, newest first, or those of a name. Raises InfrastructureError."""
    try:
        listed = engine.api.images(name=reference, filters={"label": [LABEL]})
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine does not list its images: {said(error)}") from error
    found = [base_image(one) for one in listed]
    return sorted((one for one in found if one is not None), key=lambda one: one.created, reverse=True)


def base_image(listed: dict[str, Any]) -> BaseImage | None:
    """None for what was built on a base, which carries its label too, or by another version."""
    names = tuple(one for one in listed["RepoTags"] or () if one.startswith(f"{REPOSITORY}:"))
    try:
        label = BaseLabel.model_validate_json(listed["Labels"][LABEL])
    except ValidationError:
        return None
    return BaseImage(listed["Id"], names, label, listed["Size"], str(listed["Created"])) if names else None


def base_of(name: str, image: str, digest: str, inside: Inside) -> Base:
    """A base for requests. `image` is what FROM names, `digest` what tells it from all others."""
    return Base(
        name=name,
        digest=digest,
        python_version=inside.python_version,
        packages=inside.packages,
        metadata=inside.metadata,
        image=image,
        site=inside.site,
        platform=inside.platform,
        notes=note_of(inside.packages),
    )
