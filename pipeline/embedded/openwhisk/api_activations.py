"""Activations over REST: list, record, logs, result."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.embedded.openwhisk.activations import Entry, Record, shown
from pipeline.embedded.openwhisk.errors import forbidden, illegal, malformed_query, no_such_entity, unknown_resource
from pipeline.embedded.openwhisk.http import Call
from pipeline.embedded.openwhisk.namespaces import NAME, Namespace

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

ID_LENGTH = 32
ID = re.compile(r"[0-9a-f]{32}\Z")


class ActivationsApi:
    def __init__(self, service: OpenWhisk) -> None:
        self._journal = service.journal

    def handle(self, call: Call, caller: Namespace, namespace: str, names: list[str]) -> web.StreamResponse:
        if call.method != "GET" or len(names) > 2 or (names[1:] and names[1] not in ("", "logs", "result")):
            raise unknown_resource()
        activation = _checked_id(names[0]) if names and names[0] else ""
        if namespace != caller.name:
            raise forbidden("/".join([namespace, activation]).rstrip("/"))
        if not activation:
            if names[1:]:
                raise unknown_resource()
            return self._list(call, namespace)
        record = self._journal.record(namespace, activation)
        if record is None:
            raise no_such_entity()
        return call.answer(_part(record, names[1] if names[1:] else ""))

    def _list(self, call: Call, namespace: str) -> web.Response:
        limit, skip = call.page("activations")
        count, docs = call.boolean("count"), call.boolean("docs")
        since, upto, path = call.instant("since"), call.instant("upto"), _path_filter(call, namespace)

        def wanted(entry: Entry) -> bool:
            return (
                (since is None or entry.start >= since)
                and (upto is None or entry.start <= upto)
                and (path is None or entry.path == path)
            )

        found = ((activation, entry) for activation, entry in self._journal.newest(namespace) if wanted(entry))
        if count:
            return call.answer({"activations": max(0, sum(1 for _ in found) - skip)})
        page = islice(found, skip, skip + limit)
        if docs:
            records = (self._journal.record(namespace, activation) for activation, _ in page)
            return call.answer([shown(record) for record in records if record is not None])
        summaries = (self._journal.summary(entry) for _, entry in page)
        return call.answer([one for one in summaries if one is not None])


def _part(record: Record, part: str) -> Record:
    if part == "logs":
        return {"logs": record["logs"]}
    return shown(record)["response"] if part == "result" else shown(record)


def _checked_id(activation: str) -> str:
    if len(activation) != ID_LENGTH:
        raise illegal(f"Activation id length is {len(activation)} but must be {ID_LENGTH}.")
    if not ID.match(activation):
        raise illegal("The activation id is not valid.")
    return activation


def _path_filter(call: Call, namespace: str) -> str | None:
    """The path of the action whose activations are asked for; None for all."""
    name = call.word("name")
    if not name:
        return None
    if name.count("/") > 1 or not all(NAME.match(one) for one in name.split("/")):
        raise malformed_query("name", f"Parameter may be a 'simple' name or 'package-name/simple' name: {name}")
    return f"{namespace}/{name}"
