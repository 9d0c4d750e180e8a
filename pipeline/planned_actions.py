"""The run's actions as render wrote them down."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from pipeline.backends.functions import Action
from pipeline.errors import InfrastructureError
from pipeline.run import Run

ACTIONS = TypeAdapter(tuple[Action, ...])


def planned_actions(run: Run) -> tuple[Action, ...]:
    """The actions of `run.actions_file`, in order. Raises InfrastructureError where it cannot be read."""
    try:
        return ACTIONS.validate_json(run.actions_file.read_bytes())
    except (OSError, ValidationError) as error:
        raise InfrastructureError(
            f"{run.actions_file.name} of the render stage cannot be read", hint="start the run anew"
        ) from error
