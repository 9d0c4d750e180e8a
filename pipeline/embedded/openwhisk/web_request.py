"""What a web action is told of an HTTP request: its parameters and the fields `__ow_*`."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass
from typing import Any

from pipeline.embedded.openwhisk.errors import malformed
from pipeline.embedded.openwhisk.json_text import MalformedJsonError, parse

RESERVED = ("__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body")
FORM = "application/x-www-form-urlencoded"
TEXT_SUBTYPES = ("xml", "javascript", "x-www-form-urlencoded")
OF_THE_TRANSPORT = {"content-length", "transfer-encoding"}


@dataclass(frozen=True)
class WebRequest:
    """One request, read. `path` is what follows the action's name, `query` as it was sent, without the question mark.

    Header names are lower case; `user` is the namespace of the key that came with it, if one did.
    """

    method: str
    headers: dict[str, str]
    path: str
    query: str
    body: bytes
    user: str | None = None

    @property
    def media_type(self) -> str:
        """Lower case, without parameters; bytes of no declared type are an octet stream."""
        sent = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return sent or "application/octet-stream"

    def raw_arguments(self) -> dict[str, Any]:
        """The arguments of an action that reads query and body itself."""
        return {**self._told(), "__ow_query": self.query, "__ow_body": self._opaque() if self.body else ""}

    def arguments(self, content: Any) -> dict[str, Any]:
        """Parameters of the query, then of the body's content, which win. Content that is no object is `__ow_body`."""
        opaque = {"__ow_body": content} if self.body else {}
        return {**self._told(), **self._asked(), **(content if isinstance(content, dict) else opaque)}

    def names(self, content: Any) -> set[str]:
        """The parameters that the caller named."""
        return {*self._asked(), *(content if isinstance(content, dict) else ())}

    def content(self, depth: int) -> Any:
        """What the body says: an object for JSON objects and forms. Raises ApiError (400)."""
        if not self.body:
            return None
        if is_json(self.media_type):
            try:
                return parse(self.body, depth=depth)
            except MalformedJsonError as error:
                raise malformed(str(error)) from None
        if self.media_type == FORM:
            return dict(urllib.parse.parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return self._opaque()

    def _told(self) -> dict[str, Any]:
        user = {} if self.user is None else {"__ow_user": self.user}
        headers = {name: one for name, one in self.headers.items() if name not in OF_THE_TRANSPORT}
        return {"__ow_method": self.method.lower(), "__ow_headers": headers, "__ow_path": self.path, **user}

    def _asked(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))

    def _opaque(self) -> str:
        """Text as it is, all else in base64; JSON too, which the real server keeps so for older actions."""
        as_it_is = is_text(self.media_type) and self.media_type != "application/json"
        return self.body.decode("utf-8", "replace") if as_it_is else base64.b64encode(self.body).decode()


def is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether bytes of that type are characters; of SVG, as in the real server, they are not."""
    main, _, sub = media_type.partition("/")
    written = main == "application" and (sub in TEXT_SUBTYPES or sub.endswith("+xml"))
    return main == "text" or written or is_json(media_type)
