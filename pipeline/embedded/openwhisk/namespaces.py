"""Namespaces and their keys: who asks, and how much each may still start."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
import uuid
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from pipeline.embedded.openwhisk.errors import (
    NO_AUTHENTICATION,
    WRONG_AUTHENTICATION,
    ApiError,
    illegal,
    too_many,
)
from pipeline.embedded.openwhisk.settings import Settings
from pipeline.files import write_json

DEFAULT_NAMESPACE = "guest"
LONGEST_NAME = 256
NAME = re.compile(r"\w(?:[\w@ .&-]{0,254}[\w@.&-])?\Z", re.ASCII)


@dataclass(frozen=True)
class Namespace:
    """A namespace with its key. `invocations` bounds how many activations it may ever start; None: any number."""

    name: str
    uuid: str
    key: str
    invocations: int | None = None

    @property
    def auth(self) -> str:
        return f"{self.uuid}:{self.key}"


def check_name(name: str, what: str) -> str:
    """The name, when it can be one. Raises ApiError, worded for `what`."""
    if len(name) > LONGEST_NAME:
        raise illegal(f"Name segement longer than allowed: {len(name)} > {LONGEST_NAME}.")
    if not NAME.match(name):
        raise illegal(f"The {what} contains illegal characters.")
    return name


class Namespaces:
    """All namespaces, kept in one file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_auth: dict[str, Namespace] = {}

    def open(self) -> None:
        """Reads the namespaces; the first start makes `guest` with a key of its own."""
        if self._path.exists():
            stored = [Namespace(**one) for one in json.loads(self._path.read_bytes())]
            self._by_auth = {one.auth: one for one in stored}
        if self.find(DEFAULT_NAMESPACE) is None:
            self.add(DEFAULT_NAMESPACE)

    def add(self, name: str, *, invocations: int | None = None, auth: str | None = None) -> Namespace:
        """Makes a namespace, or returns the one of that name with its cap replaced. `auth` is `uuid:key`."""
        check_name(name, "namespace")
        old = self.find(name)
        user, _, key = (auth or (old.auth if old else f"{uuid.uuid4()}:{secrets.token_hex(32)}")).partition(":")
        made = Namespace(name, user, key, invocations)
        if old is not None:
            del self._by_auth[old.auth]
        self._by_auth[made.auth] = made
        self._save()
        return made

    def remove(self, name: str) -> None:
        """Its key opens nothing any more; harmless where there is none."""
        self._by_auth = {auth: one for auth, one in self._by_auth.items() if one.name != name}
        self._save()

    def find(self, name: str) -> Namespace | None:
        return next((one for one in self._by_auth.values() if one.name == name), None)

    def authenticate(self, header: str | None) -> Namespace:
        """The namespace whose key an Authorization header carries. Raises ApiError (401)."""
        scheme, _, encoded = (header or "").partition(" ")
        try:
            auth = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            auth = ""
        if scheme.lower() != "basic" or not auth:
            raise ApiError(HTTPStatus.UNAUTHORIZED, NO_AUTHENTICATION, handled=False)
        found = self._by_auth.get(auth)
        if found is None:
            raise ApiError(HTTPStatus.UNAUTHORIZED, WRONG_AUTHENTICATION, handled=False)
        return found

    def _save(self) -> None:
        write_json(self._path, [asdict(one) for one in self._by_auth.values()], mode=0o600)


class Throttle:
    """Invocations of each namespace: by the calendar minute, and at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._minute = 0
        self._counts: dict[str, int] = {}
        self._running: dict[str, int] = {}

    def check(self, namespace: str) -> None:
        """Counts one more request, also one that is refused. Raises ApiError (429)."""
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        count = self._counts[namespace] = self._counts.get(namespace, 0) + 1
        allowed = self._settings.invocations_per_minute
        if count > allowed:
            raise too_many(f"Too many requests in the last minute (count: {count}, allowed: {allowed}).")
        running, allowed = self._running.get(namespace, 0), self._settings.concurrent_invocations
        if running >= allowed:
            raise too_many(f"Too many concurrent requests in flight (count: {running}, allowed: {allowed}).")

    def started(self, namespace: str) -> None:
        self._running[namespace] = self._running.get(namespace, 0) + 1

    def ended(self, namespace: str) -> None:
        self._running[namespace] -= 1
