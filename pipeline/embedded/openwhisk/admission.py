"""Whether an invocation may start: what its key may still do, what the pool can hold, what its arguments may name."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from pipeline.embedded.openwhisk.actions import Action
from pipeline.embedded.openwhisk.errors import ApiError, refused
from pipeline.embedded.openwhisk.namespaces import Namespace

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."


def check_room(service: OpenWhisk, caller: Namespace, action: Action) -> None:
    """What would wait for ever, and what a key may not start any more, is refused. Raises ApiError (400, 403)."""
    if not service.fits(action):
        pool = service.pool()
        raise refused(
            f"The action needs {action.limits.memory} MB, but the pool of {pool.size_mb} MB with "
            f"{pool.prewarmed_mb} MB kept for prewarmed containers can never hold it."
        )
    if caller.invocations is None:
        return
    used = service.journal.accepted(caller.name)
    if used >= caller.invocations:
        raise ApiError(
            HTTPStatus.FORBIDDEN, f"This key may start {caller.invocations} activations, and has started {used}."
        )


def check_arguments(action: Action, names: Iterable[str], reserved: Iterable[str] = ()) -> None:
    """Arguments may not replace what the action has fixed for good (annotation `final`). Raises ApiError (400)."""
    if not {*reserved, *action.immutable}.isdisjoint(names):
        raise refused(NOT_ALLOWED)
