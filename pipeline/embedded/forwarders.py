"""The forwarders of one supervisor by name: opened, replaced, counted, and opened again after a restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.embedded.bucket_guard import BucketGuard
from pipeline.embedded.contract import Forward, Forwarded
from pipeline.embedded.forwarder import Caps, Forwarder, Terms
from pipeline.embedded.store_keys import Keys
from pipeline.embedded.store_rules import OwnBucket, Rule, Ruling
from pipeline.embedded.stored import BucketMeasure
from pipeline.embedded.upstreams import Upstream
from pipeline.errors import InfrastructureError
from pipeline.files import write_json

Kept = TypeAdapter(dict[str, tuple[Forward, Forwarded]])


@dataclass
class Open:
    """`before` was passed on before the present forwarder of the name was opened."""

    forward: Forward
    forwarder: Forwarder
    before: Forwarded


class Forwarders:
    """Sockets lie in `sockets`, rules and counts in `path`."""

    def __init__(self, path: Path, sockets: Path, upstreams: Mapping[str, Upstream]) -> None:
        self.path = path
        self.sockets = sockets
        self.upstreams = upstreams
        self.open_ones: dict[str, Open] = {}
        self.saved: dict[str, tuple[Forward, Forwarded]] = {}

    async def start(self) -> None:
        """Opens those again that a former supervisor had, with their counts as last saved."""
        try:
            self.saved = Kept.validate_json(self.path.read_bytes())
        except (FileNotFoundError, ValidationError, json.JSONDecodeError):
            self.saved = {}
        for forward, counts in list(self.saved.values()):
            await self.begin(forward, counts)

    async def open(self, forward: Forward) -> Path:
        """The socket. The same name again: new rule and caps, the same socket and counts.

        The socket stays, since containers that wait warm have this one bound in.
        """
        found = self.open_ones.get(forward.name)
        if found is not None and found.forward.store != forward.store:
            raise InfrastructureError(
                f"forwarder {forward.name} leads to the {found.forward.store} store", hint="use another name"
            )
        if found is None:
            socket = await self.begin(forward, self.counts(forward.name))
        else:
            found.forward, socket = forward, found.forwarder.socket
            found.forwarder.terms = self.terms(forward, found.before, found.forwarder.terms.guard)
        self.save()
        return socket

    async def begin(self, forward: Forward, before: Forwarded) -> Path:
        # by a hash: a socket's path has no room for a long name
        socket = self.sockets / f"fwd-{hashlib.sha256(forward.name.encode()).hexdigest()[:16]}"
        socket.unlink(missing_ok=True)
        forwarder = Forwarder(socket, self.upstreams[forward.store], self.terms(forward, before, None))
        await forwarder.start()
        self.open_ones[forward.name] = Open(forward, forwarder, before)
        return socket

    def terms(self, forward: Forward, before: Forwarded, guard: BucketGuard | None) -> Terms:
        """`guard` goes on with what it knows of the bucket, under the new limit and key."""
        if forward.bucket:
            upstream = self.upstreams[forward.store]
            measure = BucketMeasure(upstream.url, upstream.ca_file, forward.keys[-1], forward.bucket)
            guard = guard or BucketGuard(measure, forward.stored_bytes)
            guard.renew(measure, forward.stored_bytes)
        return Terms(rule(forward), caps(forward, before), Keys(forward.keys, forward.expires), guard)

    def counts(self, name: str) -> Forwarded:
        found = self.open_ones.get(name)
        if found is None:
            return self.saved[name][1] if name in self.saved else Forwarded()
        return added(found.before, found.forwarder.counts)

    async def close(self, name: str) -> None:
        found = self.open_ones.pop(name, None)
        if found is not None:
            await found.forwarder.stop()
            self.save()

    async def stop(self) -> None:
        self.save()
        for name in list(self.open_ones):
            await self.open_ones.pop(name).forwarder.stop()

    def save(self) -> None:
        """Written only when something has changed."""
        now = {name: (one.forward, self.counts(name)) for name, one in self.open_ones.items()}
        if now != self.saved:
            write_json(self.path, Kept.dump_python(now, mode="json"), mode=0o600)
            self.saved = now


def rule(forward: Forward) -> Ruling:
    return OwnBucket(forward.bucket) if forward.bucket else Rule(forward.allowed, exact=forward.exact)


def caps(forward: Forward, before: Forwarded) -> Caps:
    """What is left: caps hold for all that a run moves, no matter how often its servers were killed."""
    moved = before.bytes_sent + before.bytes_received
    return Caps(
        requests=max(0, forward.requests - before.requests),
        bytes_total=max(0, forward.bytes_total - moved),
        bytes_sent=None if forward.bytes_sent is None else max(0, forward.bytes_sent - before.bytes_sent),
    )


def added(one: Forwarded, other: Forwarded) -> Forwarded:
    return Forwarded(**{name: getattr(one, name) + getattr(other, name) for name in Forwarded.model_fields})
