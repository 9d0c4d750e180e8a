"""Refusals in S3's own form, which every client understands."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from aiohttp import web


@dataclass(frozen=True)
class Refusal:
    """Status and code as S3 has them (its list of error codes), and what to do about it."""

    status: int
    code: str
    message: str

    def answer(self, request: web.Request) -> web.Response:
        """The connection ends with it: what is left of a body is not read."""
        path = request.raw_path.partition("?")[0]
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{self.code}</Code>'
            f"<Message>{escape(self.message)}</Message><Resource>{escape(path)}</Resource>"
            "<RequestId>forwarder</RequestId></Error>"
        )
        response = web.Response(status=self.status, text=text, content_type="application/xml")
        response.force_close()
        return response
