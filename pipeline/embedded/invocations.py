"""The keys of student code to OpenWhisk, by name: made, replaced, counted, and there again after a restart."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
import uuid
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.embedded.contract import Forwarded, InvocationKey, Invoked, Invoking, Message
from pipeline.embedded.openwhisk_forwarder import Made, OpenWhiskForwarder, Upstream
from pipeline.embedded.settings import OpenWhiskAccess, Outside
from pipeline.errors import CourseError
from pipeline.files import write_json


class Kept(Message):
    """One key: what it may do, and what was done with it."""

    rule: Invoking
    auth: str
    ids: tuple[str, ...] = ()
    counts: Forwarded = Forwarded()
    uncertain: int = 0


File = TypeAdapter(dict[str, Kept])


class Invocations:
    """Sockets lie in `sockets`, keys and counts in `path`, which only its owner may read."""

    def __init__(self, path: Path, sockets: Path) -> None:
        self.path = path
        self.sockets = sockets
        self.upstream: Upstream
        self.open_ones: dict[str, OpenWhiskForwarder] = {}
        self.saved: dict[str, Kept] = {}

    async def start(self, upstream: Upstream) -> None:
        """Opens those again that a former supervisor had."""
        self.upstream = upstream
        try:
            self.saved = File.validate_json(self.path.read_bytes())
        except (FileNotFoundError, ValidationError, json.JSONDecodeError):
            self.saved = {}
        for kept in list(self.saved.values()):
            await self.begin(kept)

    async def open(self, rule: Invoking) -> InvocationKey:
        """The key. The same name again: new rule, the same key, socket and counts."""
        found = self.open_ones.get(rule.name)
        if found is None:
            found = await self.begin(Kept(rule=rule, auth=f"{uuid.uuid4()}:{secrets.token_hex(32)}"))
        else:
            found.replace(rule)
        self.save()
        return InvocationKey(socket=found.socket, auth=found.auth)

    async def begin(self, kept: Kept) -> OpenWhiskForwarder:
        # by a hash: a socket's path has no room for a long name
        socket = self.sockets / f"inv-{hashlib.sha256(kept.rule.name.encode()).hexdigest()[:16]}"
        socket.unlink(missing_ok=True)
        made = Made(list(kept.ids), kept.counts, kept.uncertain)
        forwarder = OpenWhiskForwarder(socket, self.upstream, kept.rule, kept.auth, made, self.save)
        await forwarder.start()
        self.open_ones[kept.rule.name] = forwarder
        return forwarder

    def invoked(self, name: str) -> Invoked:
        """Nothing, where there is no such key."""
        found = self.open_ones.get(name)
        return found.invoked if found is not None else Invoked()

    async def close(self, name: str) -> None:
        """The key opens nothing any more. Harmless where there is none."""
        found = self.open_ones.pop(name, None)
        if found is not None:
            await found.stop()
            self.save()

    async def stop(self) -> None:
        self.save()
        for name in list(self.open_ones):
            await self.open_ones.pop(name).stop()

    def save(self) -> None:
        """Written only when something has changed."""
        now = {
            name: Kept(rule=one.rule, auth=one.auth, ids=tuple(one.ids), counts=one.counts, uncertain=one.uncertain)
            for name, one in self.open_ones.items()
        }
        if now != self.saved:
            write_json(self.path, File.dump_python(now, mode="json"), mode=0o600)
            self.saved = now


def inside(access: OpenWhiskAccess) -> Upstream:
    """The embedded OpenWhisk of this process."""
    return Upstream(access.apihost, access.auth)


def outside(settings: Outside) -> Upstream:
    """Another OpenWhisk, with the key in the course's file. Raises CourseError where a file cannot be read."""
    try:
        auth = settings.auth_file.read_text().strip()
        verify: ssl.SSLContext | bool = not settings.insecure
        if settings.ca_file is not None and not settings.insecure:
            verify = ssl.create_default_context(cafile=str(settings.ca_file))
    except OSError as error:  # SSLError is one
        raise CourseError(
            f"the files of {settings.apihost} cannot be read: {error}", hint="servers.auth_file and servers.ca_file"
        ) from None
    return Upstream(settings.apihost, auth, verify)
