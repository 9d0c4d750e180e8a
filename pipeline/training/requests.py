"""Reads the workers' requests: headers and JSON into checked values. docs/parameter-server.md lists them."""

from __future__ import annotations

import math
import re
from typing import Any

from flask import Request

from pipeline.training.refusal import RefusalError
from pipeline.training.schema import Schema
from pipeline.training.shard_progress import Gradient, Position, Progress

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NUMBER = re.compile(r"[0-9]{1,12}")
POSITION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
BINARY = "application/octet-stream"
MAX_WAIT_S = 25.0
BODY_S = 30.0
MAX_JSON = 16 * 1024


def wrong(name: str, meaning: str) -> RefusalError:
    return RefusalError(409, "format", f"header {name} must be {meaning}")


def token(request: Request) -> str:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def worker_id(request: Request) -> str:
    """The id in the header, 0 where there is none. Raises RefusalError 400."""
    found = request.headers.get("Worker-Id", "0")
    if not ID.fullmatch(found):
        raise RefusalError(400, "id", "Worker-Id must be a short name of letters, digits, `.`, `_`, `-`")
    return found


def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a registration, with its id checked. Raises RefusalError 400."""
    if (request.content_length or 0) > MAX_JSON:
        raise RefusalError(400, "format", f"the JSON has more than {MAX_JSON} bytes")
    value = request.get_json(force=True, silent=True)
    if not isinstance(value, dict):
        raise RefusalError(400, "format", 'the body must be a JSON object such as {"id": "0"}')
    found = value.get("id")
    name = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    if not isinstance(name, str) or not ID.fullmatch(name):
        raise RefusalError(400, "id", "id is missing, or no short name of letters, digits, `.`, `_`, `-`")
    return value | {"id": name}


def text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found[:256] if isinstance(found, str) else ""


def whole(request: Request, name: str, default: int) -> int:
    found = request.headers.get(name)
    if found is None:
        return default
    if not NUMBER.fullmatch(found):
        raise wrong(name, "a whole number")
    return int(found)


def real(request: Request, name: str, default: float) -> float:
    """A finite number. Raises RefusalError 409."""
    try:
        found = float(request.headers.get(name, default))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise wrong(name, "a finite number")
    return found


def position(request: Request, name: str, default: Position) -> Position:
    found = request.headers.get(name)
    if found is None:
        return default
    match = POSITION.fullmatch(found)
    if match is None:
        raise wrong(name, "epoch.step, such as 0.12")
    return Position(int(match[1]), int(match[2]))


def seconds(request: Request, name: str) -> float:
    """A time to wait from the query or a header, at most MAX_WAIT_S."""
    found = request.args.get(name) or request.headers.get("Wait-Seconds") or "0"
    try:
        return min(max(0.0, float(found)), MAX_WAIT_S)
    except ValueError:
        raise RefusalError(409, "format", f"{name} must be seconds") from None


def argument(request: Request, name: str, default: int) -> int:
    found = request.args.get(name)
    if found is None:
        return default
    if not NUMBER.fullmatch(found):
        raise RefusalError(409, "format", f"{name} must be a whole number")
    return int(found)


def body(request: Request, *, exactly: int | None = None, at_most: int) -> bytes:
    """The whole body, bounded before a byte of it is read. Raises RefusalError 400 (type), 409 (format)."""
    if request.mimetype != BINARY:
        raise RefusalError(400, "type", f"the content type must be {BINARY}")
    length = request.content_length
    if length is None or length > at_most or (exactly is not None and length != exactly):
        wanted = f"{exactly} bytes, as the schema says" if exactly is not None else f"at most {at_most} bytes"
        raise RefusalError(409, "format", f"{length} bytes came with Content-Length; {wanted} are taken")
    if "gunicorn.socket" in request.environ:
        request.environ["gunicorn.socket"].settimeout(BODY_S)
    content: bytes = request.environ["wsgi.input"].read(length)
    if len(content) != length:
        raise RefusalError(409, "format", "the body ended early")
    return content


def gradient(request: Request, schema: Schema, accepted: Progress, version: int) -> Gradient:
    """A push. What a client does not say is taken to be the next that the shard would send."""
    here = position(request, "Position", accepted.position)
    push = Gradient(
        values=schema.view(body(request, exactly=schema.size_bytes, at_most=schema.size_bytes)),
        base=whole(request, "Base-Version", version),
        sequence=whole(request, "Sequence", accepted.sequence + 1),
        position=here,
        following=position(request, "Next-Position", Position(here.epoch, here.step + 1)),
        batches=whole(request, "Batches", 1),
        samples=whole(request, "Samples", 0),
        loss=real(request, "Loss", 0.0),
        last=request.headers.get("Last") == "1",
        compute_s=real(request, "Compute-Seconds", 0.0),
        communication_s=real(request, "Communication-Seconds", 0.0),
    )
    if push.sequence < 1:
        raise wrong("Sequence", "1 or more")
    return push
