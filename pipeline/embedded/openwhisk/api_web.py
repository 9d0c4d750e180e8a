"""Web actions: any method, without a key, on `/api/v1/web/NAMESPACE/default/ACTION[.json|.html|...][/PATH]`."""

from __future__ import annotations

import asyncio
import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pipeline.embedded.openwhisk.actions import Action
from pipeline.embedded.openwhisk.activation import Activation
from pipeline.embedded.openwhisk.admission import check_arguments, check_room
from pipeline.embedded.openwhisk.errors import ApiError, no_such_entity, refused, too_large
from pipeline.embedded.openwhisk.http import CORS, Call
from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.namespaces import NAME, Namespace
from pipeline.embedded.openwhisk.outcomes import Status
from pipeline.embedded.openwhisk.web_request import RESERVED, WebRequest
from pipeline.embedded.openwhisk.web_response import EXTENSIONS, answer_as

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"}
CORS_OF_WEB = {**CORS, "Access-Control-Allow-Methods": "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"}
SECRET_HEADER = "X-Require-Whisk-Auth"
NOT_AUTHORISED = "Authentication is possible but has failed or not yet been provided."
FAILED = "There was an error processing your request."
NOT_READY = "Response not yet ready."
NO_PACKAGE = "default"


class WebApi:
    def __init__(self, service: OpenWhisk) -> None:
        self._service = service
        self._settings = service.settings

    async def handle(self, call: Call) -> web.StreamResponse | None:
        """The answer; None where the path is that of no web action, whatever its name."""
        names = call.segments[3:]
        if call.method not in METHODS or len(names) < 3 or not all(NAME.match(one) for one in names[:3]):
            return None
        headers: dict[str, str] = {}
        try:
            length = call.request.content_length or 0
            if length > self._settings.payload_bytes:
                raise too_large("Request", length, self._settings.payload_bytes)
            base, extension = _split(names[2])
            owner, action = self._exported(names[0], names[1], base)
            if action.annotations.get("web-custom-options") is not True:
                headers = _cors(call)
                if call.method == "OPTIONS":
                    return call.content(b"", HTTPStatus.OK, "", headers.items())
            activation = await self._invoke(call, owner, action)
            headers["x-openwhisk-activation-id"] = activation.id
            answer = answer_as(extension, _outcome(activation))
        except ApiError as error:
            return call.error_of_web(error, headers)
        return call.content(answer.body, answer.status, answer.media_type, (*headers.items(), *answer.headers))

    def _exported(self, namespace: str, package: str, name: str) -> tuple[Namespace, Action]:
        owner = self._service.namespaces.find(namespace)
        if owner is None or package != NO_PACKAGE:
            raise no_such_entity()
        action = self._service.action(namespace, name)
        if action.annotations.get("web-export") is not True:
            raise no_such_entity()
        self._service.throttle.check(namespace)
        return owner, action

    async def _invoke(self, call: Call, owner: Namespace, action: Action) -> Activation:
        """Runs the action for its owner, who pays for it, until it has ended or the caller has waited long enough."""
        caller = self._caller(call)
        asks_first = call.method == "OPTIONS"
        if not asks_first and not _may_call(action, call.request.headers.get(SECRET_HEADER), caller):
            raise ApiError(HTTPStatus.UNAUTHORIZED, NOT_AUTHORISED)
        request = await self._read(call, caller)
        depth = self._settings.json_depth
        if action.annotations.get("raw-http") is True:
            arguments = request.raw_arguments()
        else:
            content = request.content(depth)
            check_arguments(action, request.names(content), RESERVED)
            arguments = request.arguments(content)
        check_room(self._service, owner, action)
        activation = self._service.invoke(action, owner, arguments, call.transaction)
        await asyncio.wait((activation.answered,), timeout=self._settings.blocking_s)
        return activation

    async def _read(self, call: Call, caller: Namespace | None) -> WebRequest:
        _, _, query = call.request.raw_path.partition("?")
        parts = call.path.split("/")[7:]
        return WebRequest(
            method=call.method,
            headers={name.lower(): value for name, value in call.request.headers.items()},
            path="".join(f"/{one}" for one in parts),
            query=query,
            body=await call.read(self._settings.payload_bytes),
            user=None if caller is None else caller.name,
        )

    def _caller(self, call: Call) -> Namespace | None:
        """Who asks, where a key of this server came with the request; without one it is anybody."""
        try:
            return self._service.namespaces.authenticate(call.request.headers.get("Authorization"))
        except ApiError:
            return None


def _split(name: str) -> tuple[str, str]:
    """The action's name and the extension; without a known one it is `.http`."""
    found = next((one for one in EXTENSIONS if name.endswith(one) and name != one), "")
    return name.removesuffix(found), found or ".http"


def _cors(call: Call) -> dict[str, str]:
    asked = call.request.headers.get("Access-Control-Request-Headers")
    return {**CORS_OF_WEB, "Access-Control-Allow-Headers": asked} if asked else dict(CORS_OF_WEB)


def _may_call(action: Action, secret: str | None, caller: Namespace | None) -> bool:
    """What the annotation `require-whisk-auth` asks: a key of this server, or a secret that the action names."""
    if "require-whisk-auth" not in action.annotations:
        return True
    asked = action.annotations["require-whisk-auth"]
    if asked is True:
        return caller is not None
    if isinstance(asked, bool) or not isinstance(asked, str | int | float):
        return False
    expected = asked if isinstance(asked, str) else compact(asked)
    return hmac.compare_digest((secret or "").encode(), expected.encode()) and secret is not None


def _outcome(activation: Activation) -> Any:
    """The result, or what `error` of an application error says. Raises ApiError for all else."""
    if not activation.answered.done():
        raise ApiError(HTTPStatus.ACCEPTED, NOT_READY)
    response = activation.answered.result()["response"]
    if response["statusCode"] == Status.SUCCESS:
        return response["result"]
    if response["statusCode"] == Status.APPLICATION_ERROR:
        return response["result"]["error"]
    raise refused(FAILED)
