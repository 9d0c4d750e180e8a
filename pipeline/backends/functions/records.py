"""Records of activations, as OpenWhisk's REST API gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from pipeline.backends.functions import Activation


def activation_of(record: Mapping[str, Any]) -> Activation:
    """Raises KeyError, TypeError or ValueError for what is no record."""
    annotations = {one["key"]: one["value"] for one in record["annotations"]}
    response = record["response"]
    init_ms = annotations.get("initTime")
    return Activation(
        id=record["activationId"],
        action=record["name"],
        start=record["start"] / 1000,
        end=record.get("end", record["start"]) / 1000,
        success=bool(response["success"]),
        status=str(response["status"]),
        result=response.get("result"),
        size_bytes=int(response.get("size", 0)),
        wait_s=annotations.get("waitTime", 0) / 1000,
        init_s=None if init_ms is None else init_ms / 1000,
        timed_out=bool(annotations.get("timeout", False)),
        logs=tuple(map(str, record.get("logs", ()))),
    )


def has_record(response: requests.Response) -> bool:
    """Whether a blocking invocation has ended: a failed one is answered with 502 or 500, and its record."""
    try:
        content = response.json()
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("response"), dict)
