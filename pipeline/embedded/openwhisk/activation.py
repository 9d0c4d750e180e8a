"""One activation: its life's data, what its container is told, and the record that it leaves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.embedded.openwhisk.actions import Action
from pipeline.embedded.openwhisk.activations import Record
from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.namespaces import Namespace
from pipeline.embedded.openwhisk.outcomes import Outcome
from pipeline.embedded.openwhisk.pool import Slot


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(eq=False)
class Activation:
    """One activation from its acceptance to its record. Times in milliseconds since the epoch."""

    id: str
    action: Action
    namespace: Namespace
    transaction: str
    payload: dict[str, Any]
    answered: asyncio.Future[Record]
    accepted: int = field(default_factory=now_ms)
    started: int = 0
    init_ms: int | None = None
    cancelled: bool = False
    slot: Slot | None = None
    notes: list[str] = field(default_factory=list)


def accepted_record(activation: Activation) -> Record:
    """What a record can be made of when this process is killed before the activation ends."""
    action = activation.action
    return {
        "activationId": activation.id,
        "namespace": action.namespace,
        "name": action.name,
        "path": action.path,
        "version": action.version,
        "subject": activation.namespace.name,
        "publish": False,
        "start": activation.accepted,
        "annotations": _annotations(activation, timed_out=False),
    }


def _annotations(activation: Activation, *, timed_out: bool) -> list[dict[str, Any]]:
    action = activation.action
    found: dict[str, Any] = {
        "path": action.path,
        "waitTime": max(0, (activation.started or activation.accepted) - activation.accepted),
        "kind": action.exec.kind,
        "timeout": timed_out,
        "limits": action.limits.to_json(),
    }
    if activation.init_ms is not None:
        found["initTime"] = activation.init_ms
    return [{"key": key, "value": value} for key, value in found.items()]


def final_record(activation: Activation, outcome: Outcome) -> Record:
    record = accepted_record(activation)
    record.pop("path")
    end = now_ms()
    start = activation.started or end
    return {
        **record,
        "start": start,
        "end": end,
        "duration": end - start,
        "annotations": _annotations(activation, timed_out=outcome.timed_out),
        "logs": [],
        "response": outcome.to_json(),
    }


def init_body(activation: Activation) -> bytes:
    action = activation.action
    variables = {
        **action.init_variables(activation.payload),
        "__OW_NAMESPACE": action.namespace,
        "__OW_ACTION_NAME": f"/{action.path}",
        "__OW_ACTION_VERSION": action.version,
        "__OW_ACTIVATION_ID": activation.id,
        "__OW_TRANSACTION_ID": activation.transaction,
        "__OW_DEADLINE": str(now_ms() + action.limits.timeout),
    }
    if action.annotations.get("provide-api-key"):
        variables["__OW_API_KEY"] = activation.namespace.auth
    value: dict[str, Any] = {
        "name": action.name,
        "main": action.exec.main or "main",
        "binary": action.exec.binary,
        "env": variables,
    }
    if action.exec.code is not None:
        value["code"] = action.exec.code
    return compact({"value": value}).encode("utf-8", "replace")


def run_body(activation: Activation) -> bytes:
    action = activation.action
    body = {
        "value": action.arguments(activation.payload),
        "namespace": action.namespace,
        "action_name": f"/{action.path}",
        "action_version": action.version,
        "activation_id": activation.id,
        "transaction_id": activation.transaction,
        "deadline": str(now_ms() + action.limits.timeout),
    }
    if action.annotations.get("provide-api-key"):
        body["api_key"] = activation.namespace.auth
    return compact(body).encode("utf-8", "replace")
