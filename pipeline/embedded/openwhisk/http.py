"""HTTP as the real server speaks it: transaction ids, headers, what an answer looks like, queries and bodies."""

from __future__ import annotations

import json
import re
import secrets
import urllib.parse
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pipeline.embedded.openwhisk.errors import ApiError, malformed, malformed_query, too_large
from pipeline.embedded.openwhisk.json_text import MalformedJsonError, compact, parse

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
    "Access-Control-Allow-Methods": "GET, DELETE, POST, PUT, HEAD",
}
CORS_OUTSIDE = {**CORS, "Access-Control-Allow-Methods": "OPTIONS, GET, POST"}
CHALLENGE = 'Basic realm="OpenWhisk secure realm",charset=UTF-8'
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+\Z", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
LARGEST_INT32 = 2**31 - 1
LARGEST_INT64 = 2**63 - 1


class Call:
    """One request: its path in decoded segments, its query, and the id that every answer to it carries."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.method = request.method
        self.path, _, query = request.raw_path.partition("?")
        self.segments = [urllib.parse.unquote(one) for one in self.path.split("/")[1:]]
        self._query = dict(reversed(urllib.parse.parse_qsl(query, keep_blank_values=True))) if query else {}
        given = request.headers.get("X-Request-ID", "")
        self.transaction = given if given and not given.startswith("sid_") else secrets.token_hex(16)

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        """A JSON answer of a handler. Raises ApiError (406) where the client takes no JSON."""
        if not self._takes_json():
            raise ApiError(
                HTTPStatus.NOT_ACCEPTABLE,
                f"Resource representation is only available with these types:\n{JSON}",
                handled=False,
            )
        return self._response(compact(value).encode("utf-8", "replace"), status, JSON, {**CORS, **(headers or {})})

    def plain(self, value: Any, headers: dict[str, str] | None = None) -> web.Response:
        """A JSON answer from outside the API's handlers."""
        return self._response(compact(value).encode(), 200, JSON, headers or {})

    def text(self, text: str, status: int, headers: dict[str, str], *, media_type: str = TEXT) -> web.Response:
        return self._response(text.encode(), status, media_type, headers)

    def error(self, error: ApiError) -> web.Response:
        headers = dict(CORS) if error.handled else {}
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = CHALLENGE
        content = {"code": self.transaction, "error": error.text}
        return self._response(compact(content).encode("utf-8", "replace"), error.status, JSON, headers)

    def error_of_web(self, error: ApiError, headers: dict[str, str]) -> web.Response:
        """The same for whoever calls a web action: for people's eyes, and with no challenge."""
        content = json.dumps({"code": self.transaction, "error": error.text}, indent=2)
        return self._response(content.encode(), error.status, JSON, headers)

    def content(self, body: bytes, status: int, media_type: str, headers: Iterable[tuple[str, str]]) -> web.Response:
        """An answer that an action has made; of a header that is there twice both are sent."""
        answer = self._response(body, status, media_type, {})
        if not media_type:
            del answer.headers["Content-Type"]
        for name, value in headers:
            answer.headers.add(name, value)
        return answer

    def not_allowed(self, allowed: str) -> web.Response:
        content = {"code": self.transaction, "error": f"HTTP method not allowed, supported methods: {allowed}"}
        return self._response(compact(content).encode(), HTTPStatus.METHOD_NOT_ALLOWED, JSON, {"Allow": allowed})

    def _response(self, body: bytes, status: int, media_type: str, headers: dict[str, str]) -> web.Response:
        return web.Response(
            body=body,
            status=status,
            headers={"X-Request-ID": self.transaction, "Content-Type": media_type, **headers},
        )

    def _takes_json(self) -> bool:
        accept = self.request.headers.get("Accept", "")
        types = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
        return not accept or bool(types & {"*/*", "application/*", JSON})

    def boolean(self, name: str) -> bool:
        value = self._query.get(name, "")
        if value and value.lower() not in BOOLEANS:
            raise malformed_query(name, f"'{value}' is not a valid Boolean value")
        return BOOLEANS.get(value.lower(), False)

    def word(self, name: str) -> str | None:
        return self._query.get(name)

    def page(self, collection: str) -> tuple[int, int]:
        """How many to list, and how many to leave out before."""
        limit = self._integer("limit", 30, collection)
        if not 0 <= limit <= 200:
            raise malformed_query("limit", f"The value '{limit}' is not in the range of 0 to 200 for {collection}.")
        skip = self._integer("skip", 0, collection)
        if skip < 0:
            raise malformed_query("skip", f"The value '{skip}' is not greater than or equal to 0 for {collection}.")
        return limit or LARGEST_INT32, skip

    def _integer(self, name: str, default: int, collection: str) -> int:
        value = self._query.get(name)
        if value is None:
            return default
        if not INTEGER.match(value) or abs(int(value[:20])) > LARGEST_INT32:
            raise malformed_query(name, f"The value '{value}' is not an integer for {collection}.")
        return int(value)

    def instant(self, name: str) -> int | None:
        """Milliseconds since the epoch."""
        value = self._query.get(name)
        if value is None:
            return None
        if not INTEGER.match(value) or len(value) > 20 or abs(int(value)) > LARGEST_INT64:
            raise malformed_query(name, f"Parameter is not a valid value for epoch seconds: {value}")
        return int(value)

    async def body(self, *, limit: int, depth: int, optional: bool = False) -> Any:
        """The JSON that was sent; `optional` takes nothing for an empty object. Raises ApiError (400, 413, 415)."""
        data = await self.read(limit)
        if not data and optional:
            return {}
        sent = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if data and sent != JSON:
            kind = sent if MEDIA_TYPE.match(sent) else "application/octet-stream"
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"The request's Content-Type [{kind}] is not supported. Expected:\n{JSON}",
                handled=False,
            )
        try:
            return parse(data, depth=depth)
        except MalformedJsonError as error:
            raise malformed(str(error)) from None

    async def read(self, limit: int) -> bytes:
        """The body as it was sent. Raises ApiError (413)."""
        length = self.request.content_length
        if length is not None and length > limit:
            raise too_large("Request", length, limit)
        data = bytearray()
        async for chunk in self.request.content.iter_any():
            data += chunk
            if len(data) > limit:
                raise too_large("Request", len(data), limit)
        return bytes(data)
