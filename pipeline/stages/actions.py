"""The run's actions as render wrote them down."""

from __future__ import annotations

import json

from pipeline.backends.functions import Action, ActionLimits
from pipeline.errors import InfrastructureError
from pipeline.run import Run


def planned_actions(run: Run) -> tuple[Action, ...]:
    """The actions of `run.actions_file`, in order. Raises InfrastructureError where it cannot be read."""
    try:
        return tuple(as_action(one) for one in json.loads(run.actions_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfrastructureError(
            f"{run.actions_file.name} of the render stage cannot be read: {error}", hint="start the run anew"
        ) from error
