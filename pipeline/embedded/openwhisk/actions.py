"""Actions: the entity, what a PUT may say of it, and how an update merges into it."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.embedded.openwhisk.errors import malformed, refused, too_large
from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.limits import ActionLimits, read_limits
from pipeline.embedded.openwhisk.settings import Settings

BLACKBOX = "blackbox"
DEFAULT_KIND = "python:3"
MANAGED_KIND = re.compile(r"python:3(\.\d{1,2})?\Z")
DEPRECATED_KINDS = ("python:old",)
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")
VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,2}\Z")
IMAGE = re.compile(
    r"(?P<name>(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9._-]+(?:/[a-z0-9._-]+)*)"
    r"(?P<tag>:[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class Exec:
    """What an action runs: an image, or code of a managed kind."""

    kind: str
    image: str | None = None
    code: str | None = None
    main: str | None = None

    @property
    def binary(self) -> bool:
        """The server's own guess whether the code is base64 of a zip, as the real one makes it."""
        return is_base64(self.code or "")

    def to_json(self, *, code: bool = True) -> dict[str, Any]:
        parts = {"kind": self.kind, "image": self.image, "main": self.main, "code": self.code if code else None}
        return {"binary": self.binary, **{key: value for key, value in parts.items() if value is not None}}


@dataclass(frozen=True)
class Action:
    """An action as it is stored. `revision` tells two actions of the same name and version apart."""

    namespace: str
    name: str
    exec: Exec
    version: str
    limits: ActionLimits
    updated: int
    publish: bool = False
    parameters: tuple[dict[str, Any], ...] = ()
    annotations: dict[str, Any] = field(default_factory=dict)
    revision: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def immutable(self) -> set[str]:
        """Bound parameters that no invocation may replace: all that have a value, where the action says `final`."""
        if self.annotations.get("final") is not True:
            return set()
        return {one["key"] for one in self.parameters if one["value"] is not None}

    def arguments(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The arguments of an invocation: bound parameters, overridden by the payload."""
        bound = {one["key"]: one["value"] for one in self.parameters if not one.get("init")}
        initial = {one["key"] for one in self.parameters if one.get("init")}
        return {**bound, **{key: value for key, value in payload.items() if key not in initial}}

    def init_variables(self, payload: dict[str, Any]) -> dict[str, str]:
        """Init parameters as text, overridden by the payload of the activation that starts the container."""
        initial = {one["key"]: one["value"] for one in self.parameters if one.get("init")}
        initial.update({key: value for key, value in payload.items() if key in initial})
        return {key: value if isinstance(value, str) else compact(value) for key, value in initial.items()}

    def summary(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "version": self.version,
            "publish": self.publish,
            "annotations": [{"key": key, "value": value} for key, value in self.annotations.items()],
            "limits": self.limits.to_json(),
            "updated": self.updated,
            "exec": {"binary": self.exec.binary},
        }

    def to_json(self, *, code: bool = True) -> dict[str, Any]:
        return {**self.summary(), "exec": self.exec.to_json(code=code), "parameters": list(self.parameters)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Action:
        parts = stored["exec"]
        return cls(
            namespace=stored["namespace"],
            name=stored["name"],
            exec=Exec(parts["kind"], parts.get("image"), parts.get("code"), parts.get("main")),
            version=stored["version"],
            limits=ActionLimits(**stored["limits"]),
            updated=stored["updated"],
            publish=stored["publish"],
            parameters=tuple(stored["parameters"]),
            annotations={one["key"]: one["value"] for one in stored["annotations"]},
        )


@dataclass(frozen=True)
class ActionChange:
    """What the body of a PUT asked for; None where it said nothing."""

    exec: Exec | None
    parameters: tuple[dict[str, Any], ...] | None
    limits: dict[str, int]
    version: str | None
    publish: bool | None
    annotations: dict[str, Any]
    deleted_annotations: tuple[str, ...]


def read_change(body: Any, settings: Settings) -> ActionChange:
    """Reads the body of a PUT. Raises ApiError as the real server words it."""
    if not isinstance(body, dict):
        raise malformed("Object expected in field 'exec'")
    execution = None if body.get("exec") is None else _read_exec(body["exec"])
    parameters = _read_pairs(body.get("parameters"))
    annotations = _read_pairs(body.get("annotations"))
    limits = read_limits(body.get("limits"))
    version, publish = body.get("version"), body.get("publish")
    if version is not None and not (isinstance(version, str) and VERSION.match(version)):
        raise malformed("semantic version malformed")
    if publish is not None and not isinstance(publish, bool):
        raise malformed(f"Expected JsBoolean, but got {compact(publish)}")
    deleted = body.get("delAnnotations") or []
    if not isinstance(deleted, list) or not all(isinstance(one, str) for one in deleted):
        raise malformed("delAnnotations malformed!")
    if execution is not None:
        _check_size("exec", len(execution.kind) + len((execution.code or "").encode()), settings.code_bytes)
    for name, pairs in (("parameters", parameters), ("annotations", annotations)):
        size = sum(len(one["key"].encode()) + len(compact(one["value"]).encode()) for one in pairs or ())
        _check_size(name, size, settings.parameters_bytes)
    if execution is not None and execution.kind in DEPRECATED_KINDS:
        raise refused(
            f"The '{execution.kind}' runtime is no longer supported. "
            "You may read and delete but not update or invoke this action."
        )
    return ActionChange(
        exec=execution,
        parameters=parameters,
        limits=limits,
        version=None if version is None else ".".join([*version.split("."), "0", "0"][:3]),
        publish=publish,
        annotations={one["key"]: one["value"] for one in annotations or ()},
        deleted_annotations=tuple(deleted),
    )


def created(namespace: str, name: str, change: ActionChange, settings: Settings) -> Action:
    """The action that a PUT on a free name makes."""
    if change.exec is None:
        raise refused("exec undefined")
    return Action(
        namespace=namespace,
        name=name,
        exec=change.exec,
        version=change.version or "0.0.1",
        limits=ActionLimits.default(settings).changed(change.limits, settings),
        updated=time.time_ns() // 1_000_000,
        publish=bool(change.publish),
        parameters=change.parameters or (),
        annotations={"provide-api-key": False, **change.annotations, "exec": change.exec.kind},
    )


def updated(old: Action, change: ActionChange, settings: Settings) -> Action:
    """The action that a PUT on an existing one makes: what it does not name stays."""
    execution = change.exec or old.exec
    kept = {key: value for key, value in old.annotations.items() if key not in change.deleted_annotations}
    return replace(
        old,
        exec=execution,
        version=change.version or _next_version(old.version),
        limits=old.limits.changed(change.limits, settings),
        updated=time.time_ns() // 1_000_000,
        publish=old.publish if change.publish is None else change.publish,
        parameters=old.parameters if change.parameters is None else change.parameters,
        annotations={**kept, **change.annotations, "exec": execution.kind},
        revision=secrets.token_hex(8),
    )


def is_base64(text: str) -> bool:
    return bool(text) and len(text) % 4 == 0 and BASE64.match(text) is not None


def _next_version(version: str) -> str:
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def _check_size(what: str, size: int, allowed: int) -> None:
    if size > allowed:
        raise too_large(what, size, allowed)


def _read_exec(parts: Any) -> Exec:
    if not isinstance(parts, dict):
        raise malformed("JSON object expected")
    kind = parts.get("kind")
    if not isinstance(kind, str):
        raise malformed("'kind' must be a string defined in 'exec'")
    kind = kind.lower()
    main = parts.get("main")
    if main is not None and not isinstance(main, str):
        raise malformed(f"'main' must be a string defined in 'exec' for '{kind}' actions")
    if kind == BLACKBOX:
        return _read_blackbox(parts, main)
    if kind == "python:default":
        kind = DEFAULT_KIND
    if not MANAGED_KIND.match(kind) and kind not in DEPRECATED_KINDS:
        raise malformed(
            f"The specified runtime '{kind}' is not supported by this platform. "
            f"Valid values are: '{DEFAULT_KIND}', 'python:3.x', '{BLACKBOX}'."
        )
    code = parts.get("code")
    if not isinstance(code, str):
        raise malformed(f"'code' must be a string or attachment object defined in 'exec' for '{kind}' actions")
    return Exec(kind, None, code, main)


def _read_blackbox(parts: dict[str, Any], main: str | None) -> Exec:
    image = parts.get("image")
    if not isinstance(image, str):
        raise malformed("'image' must be a string defined in 'exec' for 'blackbox' actions")
    found = IMAGE.match(image)
    if found is None:
        raise malformed("could not parse image name")
    code = parts.get("code", "")
    if not isinstance(code, str):
        raise malformed(f"Could not deserialize as attachment record: {compact(code)}")
    return Exec(BLACKBOX, found["name"] + (found["tag"] or ""), code or None, main)


def _read_pairs(pairs: Any) -> tuple[dict[str, Any], ...] | None:
    """Parameters or annotations; of two with the same key the last one counts."""
    if pairs is None:
        return None
    if not isinstance(pairs, list):
        raise malformed("parameters malformed!")
    found: dict[str, dict[str, Any]] = {}
    for one in pairs:
        if not isinstance(one, dict) or not isinstance(one.get("key"), str) or "value" not in one:
            raise malformed("parameters malformed!")
        extras = {key: one[key] for key in ("init", "encryption") if one.get(key)}
        found[one["key"]] = {"key": one["key"], "value": one["value"], **extras}
    return tuple(found.values())
