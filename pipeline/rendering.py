"""What would be built and registered, as text. Pure and deterministic: the same input gives the same bytes.

Text from a student is in none of it; what goes in passes a filter for its place all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.backends.functions import Action, ActionLimits
from pipeline.backends.images import CODE, ENVIRONMENT, RUNNER, Base
from pipeline.embedded.contract import ONE_THREAD
from pipeline.errors import CourseError
from pipeline.kinds import TRAITS
from pipeline.run import Checked
from pipeline.settings import Course

# https://pkg.go.dev/github.com/distribution/reference has this grammar
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(
    rf"(?:[a-z0-9][a-z0-9.-]*(?::[0-9]{{1,5}})?/)?{PART}(?:/{PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
    r"|sha256:[0-9a-f]{64}"
)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENTRYPOINT = ("python3", "-m", "runner")


def image(text: str) -> str:
    """An image's reference, or an engine's id of one, by full match. Raises CourseError: staff set them, or we."""
    if not IMAGE.fullmatch(text):
        raise CourseError(
            f"{text!r} is no image reference",
            hint="write registry/name:tag or name@sha256:..., a registry as host:port",
        )
    return text


def variable(text: str) -> str:
    if not VARIABLE.fullmatch(text):
        raise CourseError(f"{text!r} is no name of an environment variable", hint="letters, digits and _ only")
    return text


def quoted(text: str) -> str:
    """A value of ENV in quotes, with nothing left for Docker to expand."""
    if any(ord(character) < 32 for character in text):
        raise CourseError(f"{text!r} cannot stand in a Dockerfile", hint="leave out control characters")
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def exec_form(arguments: tuple[str, ...]) -> str:
    return json.dumps(list(arguments))


def image_reference(course: Course, assignment: str, run: str) -> str:
    """The name of a run's image, which begins with the course's registry where there is one."""
    registry = f"{course.servers.registry.rstrip('/')}/" if course.servers.registry else ""
    return image(f"{registry}{course.name}/{assignment}:{run}")


def environment_reference(lock_sha256: str, base: Base) -> str:
    """The name of the image that holds a lock's wheels for a base."""
    return f"ml-pipeline/environments:{lock_sha256}-{base.digest.removeprefix('sha256:')[:16]}"


def dockerfile(base: Base, lock_sha256: str, *, has_environment: bool) -> str:
    """A Dockerfile without RUN: base by digest, the lock's environment (an image of its own), code, user, entry."""
    places = (RUNNER, *base.site, *([ENVIRONMENT] if has_environment else []))
    variables = {
        "PYTHONPATH": ":".join(places),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "RUNNER_CODE": CODE,
        **ONE_THREAD,
    }
    return render_template(
        "Dockerfile.j2",
        {
            "base": base.image or f"{base.name}@{base.digest}",
            "environment": environment_reference(lock_sha256, base) if has_environment else None,
            "variables": variables,
            "entrypoint": ENTRYPOINT,
            "runner": RUNNER,
            "packages": ENVIRONMENT,
            "code": CODE,
        },
    )


def with_labels(text: str, labels: Mapping[str, str]) -> str:
    """A Dockerfile with labels at its end, in one instruction: each makes a layer."""
    pairs = " ".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(labels.items()))
    return f"{text}LABEL {pairs}\n" if pairs else text


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """A file of `templates/` filled in; a value that it lacks is an error of ours."""
    # loaded here: no command but render needs it, and it takes longer than most stages
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).resolve().parent.parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=False,  # Dockerfile, not HTML: each place has its filter
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(image=image, variable=variable, quoted=quoted, exec_form=exec_form)
    return environment.get_template(name).render(values)


def actions(course: Course, run: str, checked: Checked) -> tuple[Action, ...]:
    """The run's actions: one image, told apart by the bound parameter `task`."""
    limits = checked.assignment.limits
    return tuple(
        Action(
            name=f"{run}-{task}",
            image=image_reference(course, checked.assignment.name, run),
            limits=ActionLimits(limits.memory_mb, limits.timeout_s, limits.logs_mb),
            parameters={"task": task, "kind": checked.job.kind, "entry": checked.job.file},
            annotations={"run": run, "assignment": checked.assignment.name},
        )
        for task in TRAITS[checked.job.kind].tasks
    )


def actions_json(rendered: tuple[Action, ...]) -> str:
    return json.dumps([asdict(action) for action in rendered], indent=2, sort_keys=True, allow_nan=False) + "\n"
