"""Actions over REST: list, put, get, delete, invoke."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pipeline.embedded.openwhisk.actions import read_change
from pipeline.embedded.openwhisk.activation import Activation
from pipeline.embedded.openwhisk.activations import shown
from pipeline.embedded.openwhisk.admission import check_arguments, check_room
from pipeline.embedded.openwhisk.errors import (
    OTHER_COLLECTION,
    ApiError,
    forbidden,
    malformed,
    malformed_query,
    no_such_entity,
    unknown_resource,
)
from pipeline.embedded.openwhisk.http import INTEGER, Call
from pipeline.embedded.openwhisk.namespaces import Namespace, check_name

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

ESCAPED = 2
"""a body in JSON may take so many times the bytes of the code in it"""


class ActionsApi:
    def __init__(self, service: OpenWhisk) -> None:
        self._service = service
        self._settings = service.settings

    async def handle(self, call: Call, caller: Namespace, namespace: str, names: list[str]) -> web.StreamResponse:
        for name in filter(None, names):
            check_name(name, "name of the entity")
        if names in ([], [""]) and call.method == "GET":
            _authorise(caller, namespace, [])
            return self._list(call, namespace)
        if len(names) == 2 and not names[1] and names[0] and call.method == "GET":
            _authorise(caller, namespace, names[:1])
            return self._package(namespace, names[0])
        if len(names) not in (1, 2) or not all(names) or call.method not in ("GET", "PUT", "DELETE", "POST"):
            raise unknown_resource()
        if call.method == "POST":
            return await self._invoke(call, caller, namespace, names)
        _authorise(caller, namespace, names)
        if len(names) == 2:
            raise no_such_entity()
        if call.method == "PUT":
            return await self._put(call, namespace, names[0])
        if call.method == "DELETE":
            return call.answer((await self._service.delete_action(namespace, names[0])).to_json())
        with_code = call.boolean("code") or call.word("code") is None
        return call.answer(self._service.action(namespace, names[0]).to_json(code=with_code))

    def _list(self, call: Call, namespace: str) -> web.Response:
        limit, skip = call.page("actions")
        found = self._service.actions(namespace)[skip:]
        if call.boolean("count"):
            return call.answer({"actions": len(found)})
        return call.answer([one.summary() for one in found[:limit]])

    def _package(self, namespace: str, name: str) -> web.Response:
        """Lists a package's actions, had it any: an action of that name is in the way, or there is nothing."""
        self._service.action(namespace, name)
        raise ApiError(HTTPStatus.CONFLICT, OTHER_COLLECTION)

    async def _put(self, call: Call, namespace: str, name: str) -> web.Response:
        overwrite = call.boolean("overwrite")
        limit = ESCAPED * self._settings.code_bytes + self._settings.parameters_bytes
        body = await call.body(limit=limit, depth=self._settings.json_depth)
        change = read_change(body, self._settings)
        action = await self._service.put_action(namespace, name, change, overwrite=overwrite)
        return call.answer(action.to_json())

    async def _invoke(self, call: Call, caller: Namespace, namespace: str, names: list[str]) -> web.Response:
        blocking, result = call.boolean("blocking"), call.boolean("result")
        wait_s = self._wait_s(call)
        self._service.throttle.check(caller.name)
        _authorise(caller, namespace, names)
        payload = await call.body(limit=self._settings.payload_bytes, depth=self._settings.json_depth, optional=True)
        if not isinstance(payload, dict):
            raise malformed("JSON object expected")
        if len(names) == 2:
            raise no_such_entity()
        action = self._service.action(namespace, names[0])
        check_arguments(action, payload)
        check_room(self._service, caller, action)
        activation = self._service.invoke(action, caller, payload, call.transaction)
        if blocking:
            await asyncio.wait((activation.answered,), timeout=wait_s)
        return _answer(call, activation, result=result, blocking=blocking)

    def _wait_s(self, call: Call) -> float:
        value = call.word("timeout")
        if value is None:
            return self._settings.blocking_s
        most = int(self._settings.blocking_s * 1000)
        if not INTEGER.match(value) or not 1 <= int(value[:12]) <= most:
            raise malformed_query("timeout", f"Timeout must be number of milliseconds up to {most}.")
        return int(value) / 1000


def _authorise(caller: Namespace, namespace: str, names: list[str]) -> None:
    if namespace != caller.name:
        raise forbidden("/".join([namespace, *names]))


def _answer(call: Call, activation: Activation, *, result: bool, blocking: bool) -> web.Response:
    headers = {"x-openwhisk-activation-id": activation.id}
    if not blocking or not activation.answered.done():
        return call.answer({"activationId": activation.id}, HTTPStatus.ACCEPTED, headers)
    record = activation.answered.result()
    response: dict[str, Any] = record["response"]
    status = {0: HTTPStatus.OK, 3: HTTPStatus.INTERNAL_SERVER_ERROR}.get(response["statusCode"], HTTPStatus.BAD_GATEWAY)
    # a list is what the real server never wraps
    bare = result or isinstance(response["result"], list)
    return call.answer(response["result"] if bare else shown(record), status, headers)
