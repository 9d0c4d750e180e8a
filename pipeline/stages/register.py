"""Stage 6: the run's actions are put into OpenWhisk, inside the limits that the server allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.embedded.contract import read_manifest
from pipeline.errors import CourseError
from pipeline.listener import StageLog
from pipeline.planned_actions import planned_actions
from pipeline.run import Registered, Run

MB = 2**20


def register(run: Run, backends: Backends, log: StageLog) -> None:
    """Puts the actions; the same again after a kill. Raises CourseError where the server allows less than asked."""
    backends.servers.install(read_manifest(run.image_file.read_bytes()))
    functions = backends.servers.functions()
    allowed = functions.server_limits()
    actions = planned_actions(run)
    for action in actions:
        require(action, allowed)
        functions.put_action(action)
        log(
            f"action {action.name}: {action.limits.memory_mb} MB, {action.limits.timeout_s:.0f} s, "
            f"{action.limits.logs_mb} MB of logs"
        )
    run.update(registered=Registered(namespace="_", actions={task_of(one): one.name for one in actions}))


def unregister(run: Run, backends: Backends) -> None:
    """Deletes every action of the run; harmless when they are gone."""
    registered = run.record.registered
    if registered is not None:
        for name in registered.actions.values():
            backends.servers.functions().delete_action(name)


def task_of(action: Action) -> str:
    return str(action.parameters.get("task", action.name))


def require(action: Action, allowed: Mapping[str, Any]) -> None:
    """Compares an action's limits with what `GET /` of the server says; fields that it lacks limit nothing."""
    asked = {
        "memory": (action.limits.memory_mb, allowed.get("max_action_memory"), MB, "MB"),
        "timeout": (action.limits.timeout_s, allowed.get("max_action_duration"), 1000, "s"),
        "logs": (action.limits.logs_mb, allowed.get("max_action_logs"), MB, "MB"),
    }
    for name, (value, limit, divisor, unit) in asked.items():
        if isinstance(limit, int | float) and value * divisor > limit:
            raise CourseError(
                f"action {action.name} asks for {value:g} {unit} of {name}, OpenWhisk allows {limit / divisor:g}",
                hint="lower the assignment's limits in course.toml, or have the server's operator raise them",
            )
