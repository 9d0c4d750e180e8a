"""Whose key a request to a store is signed with. The store checks the signature itself."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from pipeline.embedded.contract import StoreKey
from pipeline.embedded.s3_errors import Refusal

SIGNED = re.compile(r"AWS4-HMAC-SHA256\s.*?\bCredential=([^/,\s]+)/", re.DOTALL)
CREDENTIAL, TOKEN = "X-Amz-Credential", "X-Amz-Security-Token"
UNSIGNED = Refusal(403, "AccessDenied", "sign requests with the run's own key (signature version 4)")
FOREIGN = Refusal(403, "InvalidAccessKeyId", "this access key is not the run's own")


@dataclass(frozen=True)
class Keys:
    """The keys that pass until they expire, and until `expires`. No key at all: the store alone decides."""

    keys: tuple[StoreKey, ...] = ()
    expires: float | None = None

    def refusal(self, request: web.Request) -> Refusal | None:
        now = time.time()
        if self.expires is not None and now >= self.expires:
            return Refusal(400, "ExpiredToken", "the run's access to the store has expired")
        if not self.keys:
            return None
        name = access_key_of(request)
        key = self.named(name)
        if key is None:
            return UNSIGNED if name is None else FOREIGN
        if key.expires is not None and now >= key.expires:
            return Refusal(400, "ExpiredToken", "this key has expired")
        return None

    def named(self, name: str | None) -> StoreKey | None:
        return next((one for one in self.keys if one.access_key == name), None)

    def added(self, request: web.Request) -> list[tuple[str, str]]:
        """The session token, where a client knows only the pair: stores take it unsigned."""
        key = self.named(access_key_of(request))
        if key is None or not key.session_token or TOKEN in request.headers or TOKEN in query_of(request):
            return []
        return [(TOKEN, key.session_token)]


def access_key_of(request: web.Request) -> str | None:
    """None where it names none, or more than one."""
    headers = request.headers.getall("Authorization", [])
    named = query_of(request).get(CREDENTIAL, [])
    if len(headers) + len(named) != 1:
        return None
    if named:
        return named[0].partition("/")[0]
    found = SIGNED.match(headers[0])
    return found.group(1) if found else None


def query_of(request: web.Request) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values
