"""What of OpenWhisk's API student code may use, and with which key."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Collection, Sequence
from http import HTTPStatus
from urllib.parse import quote

from pipeline.embedded.openwhisk.errors import (
    NO_AUTHENTICATION,
    WRONG_AUTHENTICATION,
    ApiError,
    forbidden,
    no_such_entity,
    unknown_resource,
)

OWN = "_"
"""The only namespace there is for student code."""


def authenticate(header: str, auth: str, expires: float) -> None:
    """Raises ApiError (401) for no key, for another one than `auth`, and for one that has expired."""
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if scheme.lower() != "basic" or not given:
        raise ApiError(HTTPStatus.UNAUTHORIZED, NO_AUTHENTICATION, handled=False)
    if not hmac.compare_digest(given, auth.encode()) or time.time() >= expires:
        raise ApiError(HTTPStatus.UNAUTHORIZED, WRONG_AUTHENTICATION, handled=False)


def permitted(method: str, segments: Sequence[str], actions: Collection[str], own: Collection[str]) -> str:
    """The path below the namespace to ask for; empty for the list of namespaces.

    `own` are the activations that were made with this key. Raises ApiError (403, 404) for all else.
    """
    if list(segments[:3]) != ["api", "v1", "namespaces"]:
        raise unknown_resource()
    rest = [one for one in segments[3:] if one]
    if not rest and method == "GET":
        return ""
    if len(rest) < 2 or rest[0] != OWN:
        raise forbidden("/".join(rest))
    collection, *names = rest[1:]
    if collection == "actions" and method == "POST" and len(names) == 1 and names[0] in actions:
        return f"actions/{quote(names[0], safe='')}"
    if collection == "activations" and method == "GET" and names and names[1:] in ([], ["logs"], ["result"]):
        if names[0] not in own:
            raise no_such_entity()
        return "/".join([collection, *names])
    raise forbidden("/".join([OWN, *names]))
