"""The REST API: which request goes where, and in what order it is refused.

One handler serves every path, because the real server's own rules for paths, methods and their refusals differ from
those of a router of routes.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.embedded.openwhisk.api_actions import ActionsApi
from pipeline.embedded.openwhisk.api_activations import ActivationsApi
from pipeline.embedded.openwhisk.api_info import InfoApi
from pipeline.embedded.openwhisk.api_web import WebApi
from pipeline.embedded.openwhisk.errors import ApiError, forbidden, no_such_entity, refused, unknown_resource
from pipeline.embedded.openwhisk.http import CORS, CORS_OUTSIDE, Call
from pipeline.embedded.openwhisk.namespaces import Namespace, check_name

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

log = logging.getLogger(__name__)

METHODS = {"GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "TRACE", "OPTIONS", "CONNECT"}
ALLOWED_INSIDE = "PUT, GET, DELETE, POST, HEAD, OPTIONS, PATCH"
LONGEST_HEADER_VALUE = 8192
BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
HEXDIG = re.compile(r"[0-9A-Fa-f]")
SYSTEM_NAMESPACE = "whisk.system"


def create_app(service: OpenWhisk) -> web.Application:
    """The REST API of a service as an application of aiohttp."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Api(service).handle)
    return app


class Api:
    def __init__(self, service: OpenWhisk) -> None:
        self._service = service
        self._info = InfoApi(service)
        self._actions = ActionsApi(service)
        self._activations = ActivationsApi(service)
        self._web = WebApi(service)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if refusal := _unreadable(request):
            return refusal
        call = Call(request)
        try:
            if call.segments[:3] == ["api", "v1", "web"] and (answer := await self._web.handle(call)) is not None:
                return answer
            if call.method == "OPTIONS":
                return call.text("OK", HTTPStatus.OK, CORS if call.segments[:2] == ["api", "v1"] else CORS_OUTSIDE)
            if call.segments[:2] == ["api", "v1"]:
                return await self._inside(call)
            return self._info.outside(call)
        except ApiError as error:
            return call.error(error)
        except Exception:
            log.exception("%s %s failed in the server", call.method, call.path)
            return call.error(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "There was an internal server error."))

    async def _inside(self, call: Call) -> web.StreamResponse:
        if call.method == "TRACE":
            return call.not_allowed(ALLOWED_INSIDE)
        if (public := self._info.public(call)) is not None:
            return public
        caller = self._service.namespaces.authenticate(call.request.headers.get("Authorization"))
        if call.method == "HEAD" or call.segments[2:3] != ["namespaces"]:
            raise unknown_resource()
        return await self._namespaces(call, caller, call.segments[3:])

    async def _namespaces(self, call: Call, caller: Namespace, rest: list[str]) -> web.StreamResponse:
        if rest in ([], [""]) and call.method == "GET":
            return call.answer([caller.name])
        if len(rest) < 2:
            raise unknown_resource()
        namespace, collection, *names = rest
        namespace = caller.name if namespace == "_" else check_name(namespace, "namespace")
        if collection == "actions":
            return await self._actions.handle(call, caller, namespace, names)
        if collection == "activations":
            return self._activations.handle(call, caller, namespace, names)
        if collection == "limits" and call.method == "GET" and not names:
            _authorise(caller, namespace, [])
            return call.answer(self._info.namespace_limits())
        if collection in ("packages", "triggers", "rules"):
            return _nothing(call, caller, namespace, collection, names)
        raise unknown_resource()


def _authorise(caller: Namespace, namespace: str, names: list[str]) -> None:
    if namespace != caller.name:
        raise forbidden("/".join([namespace, *filter(None, names)]))


def _nothing(call: Call, caller: Namespace, namespace: str, collection: str, names: list[str]) -> web.Response:
    """Packages, triggers and rules, of which there are none."""
    for name in filter(None, names):
        check_name(name, "name of the entity")
    if not (collection == "packages" and namespace == SYSTEM_NAMESPACE and call.method == "GET"):
        _authorise(caller, namespace, names)
    if names in ([], [""]) and call.method == "GET":
        call.page(collection)
        return call.answer({collection: 0} if call.boolean("count") else [])
    if len(names) != 1 or not names[0] or (call.method == "POST" and collection == "packages"):
        raise unknown_resource()
    if call.method == "PUT":
        raise refused(f"This server keeps no {collection}; only actions are run here.")
    if call.method in ("GET", "DELETE", "POST"):
        raise no_such_entity()
    raise unknown_resource()


def _unreadable(request: web.Request) -> web.Response | None:
    """Refusals before anything is read: they carry no id."""
    if request.method not in METHODS:
        return web.Response(text="Unsupported HTTP method", status=HTTPStatus.NOT_IMPLEMENTED, charset="UTF-8")
    for value in request.headers.values():
        if len(value) > LONGEST_HEADER_VALUE:
            return web.Response(
                text=f"HTTP header value exceeds the configured limit of {LONGEST_HEADER_VALUE} characters",
                status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                charset="UTF-8",
            )
    if "%" in request.raw_path and (found := BAD_PERCENT.search(request.raw_path)):
        at = found.start() + 1
        if HEXDIG.match(request.raw_path, at):
            at += 1
        sign = f"'{request.raw_path[at]}'" if at < len(request.raw_path) else "'EOI'"
        return web.Response(
            text=f"Illegal request-target: Invalid input {sign}, expected HEXDIG (line 1, column {at + 1})",
            status=HTTPStatus.BAD_REQUEST,
            charset="UTF-8",
        )
    return None
