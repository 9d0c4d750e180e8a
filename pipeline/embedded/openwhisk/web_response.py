"""What the caller of a web action gets: its result as JSON, HTML, SVG, text, or as the HTTP answer it describes."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pipeline.embedded.openwhisk.actions import is_base64
from pipeline.embedded.openwhisk.errors import ApiError, refused
from pipeline.embedded.openwhisk.http import JSON, TEXT
from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.web_request import is_json, is_text

HTML = "text/html; charset=UTF-8"
NO_PROPERTY = "Response does not include requested property."
OTHER_TYPE = "Response type in header did not match generated content type."
UNKNOWN_TYPE = "Response did not specify a known content-type."
HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+\Z", re.ASCII)
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;.*)?\Z", re.ASCII)
OURS = {"content-type", "content-length", "transfer-encoding", "connection"}
"""headers that this server sets by what it sends"""


@dataclass(frozen=True)
class WebAnswer:
    """An HTTP answer. `media_type` is empty where there is no body."""

    body: bytes = b""
    media_type: str = ""
    status: int = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = field(default=())


def answer_as(extension: str, result: Any) -> WebAnswer:
    """The answer to a request for `.json`, `.html`, ... of a result. Raises ApiError where it is none of that kind."""
    return EXTENSIONS[extension](result)


def _as_json(result: Any) -> WebAnswer:
    if not isinstance(result, dict | list):
        raise _invalid(JSON)
    return WebAnswer(_encoded(compact(result)), JSON)


def _as_html(result: Any) -> WebAnswer:
    return WebAnswer(_encoded(_text_of(result, "html", "text/html")), HTML)


def _as_svg(result: Any) -> WebAnswer:
    return WebAnswer(_encoded(_text_of(result, "svg", "image/svg+xml")), "image/svg+xml")


def _as_text(result: Any) -> WebAnswer:
    value = result
    if isinstance(result, dict):
        found = [name for name in ("body", "text") if name in result]
        if not found:
            raise ApiError(HTTPStatus.NOT_FOUND, NO_PROPERTY)
        value = result[found[0]]
    if isinstance(value, str):
        return WebAnswer(_encoded(value), TEXT)
    indent = 2 if isinstance(value, dict | list) else None
    return WebAnswer(_encoded(json.dumps(value, indent=indent, ensure_ascii=False)), TEXT)


def _as_http(result: Any) -> WebAnswer:
    """`statusCode`, `headers` and `body` of the result."""
    if not isinstance(result, dict):
        raise _invalid("message/http")
    status, headers, body = _status(result.get("statusCode")), _headers(result.get("headers")), result.get("body")
    kept = tuple((name, value) for name, value in headers if name.lower() not in OURS)
    if body is None or body == "":
        return WebAnswer(status=status or HTTPStatus.NO_CONTENT, headers=kept)
    declared = next((value for name, value in headers if name.lower() == "content-type"), "")
    if declared and not MEDIA_TYPE.match(declared):
        raise refused(UNKNOWN_TYPE if isinstance(body, str) else OTHER_TYPE)
    content, media_type = _interpreted(body, declared)
    return WebAnswer(content, media_type, status or HTTPStatus.OK, kept)


EXTENSIONS: dict[str, Callable[[Any], WebAnswer]] = {
    ".http": _as_http,
    ".json": _as_json,
    ".html": _as_html,
    ".svg": _as_svg,
    ".text": _as_text,
}


def _interpreted(body: Any, declared: str) -> tuple[bytes, str]:
    """The bytes of an answer's body and their type: what is binary comes as base64."""
    bare = declared.partition(";")[0].strip().lower()
    if not isinstance(body, str):
        if bare and not is_json(bare):
            raise refused(OTHER_TYPE)
        return _encoded(compact(body)), declared or JSON
    if not bare:
        return _encoded(body), HTML
    if not is_text(bare) or (is_json(bare) and is_base64(body)):
        try:
            return base64.b64decode(body, validate=True), declared
        except (binascii.Error, ValueError):
            raise refused(OTHER_TYPE) from None
    plain = "charset" not in declared and not is_json(bare)
    return _encoded(body), f"{declared}; charset=UTF-8" if plain else declared


def _text_of(result: Any, name: str, media_type: str) -> str:
    value = result.get("body", result.get(name)) if isinstance(result, dict) else result
    if not isinstance(value, str):
        raise _invalid(media_type)
    return value


def _status(code: Any) -> int | None:
    """A whole number, or text of one, that HTTP has as the status of an answer."""
    if code is None:
        return None
    is_whole = isinstance(code, int | str) or (isinstance(code, float) and code.is_integer())
    with contextlib.suppress(ValueError):
        if is_whole and not isinstance(code, bool) and HTTPStatus(int(code)) >= HTTPStatus.OK:
            return HTTPStatus(int(code))
    raise _invalid("message/http")


def _headers(headers: Any) -> list[tuple[str, str]]:
    """Header lines, those of a list one by one. What would end a header early is refused."""
    if headers is None:
        return []
    if not isinstance(headers, dict):
        raise _invalid("message/http")
    found = []
    for name, value in headers.items():
        for one in value if isinstance(value, list) else [value]:
            text = one if isinstance(one, str) else compact(one)
            if not HEADER_NAME.match(name) or isinstance(one, dict | list | None) or not text.isprintable():
                raise _invalid("message/http")
            found.append((name, text))
    return found


def _invalid(media_type: str) -> ApiError:
    return refused(f"Response is not valid '{media_type}'.")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
