"""The container protocol's HTTP: POST /init and /run, always with Content-Length."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
from typing import Any

from runner.action import Action, Answer

MAX_BODY = 80 << 20  # 48 MB of code, in base64


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers on a socket that listens already: TCP, or a Unix socket inherited from the container's maker."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, action: Action) -> None:
        socketserver.BaseServer.__init__(self, listener.getsockname(), Handler)
        self.socket = listener
        self.action = action

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        return connection, address or ("", 0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: Server

    def do_POST(self) -> None:
        message = self._message()
        answer = message if isinstance(message, Answer) else self.server.action.answer(self.path, message)
        self._send(answer)

    def _message(self) -> Any:
        """The request's JSON, or the Answer that refuses it."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 12):
            self.close_connection = True
            return Answer.error(411, "the request has no Content-Length")
        if int(length) > MAX_BODY:
            self.close_connection = True
            return Answer.error(413, f"the request has {length} bytes, at most {MAX_BODY} are read")
        try:
            return json.loads(self.rfile.read(int(length)) or b"{}")
        except (ValueError, RecursionError) as error:
            return Answer.error(400, f"the request is not JSON: {str(error)[:200]}")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself, such as GET, as JSON; a request that is no HTTP gets its page."""
        self.close_connection = True
        if self.request_version == "HTTP/0.9":
            super().send_error(code, message, explain)
            return
        self._send(Answer.error(code, f"{message or 'refused'}; there are only POST /init and POST /run"))

    def _send(self, answer: Answer) -> None:
        """One write: a second small one would wait for the first one's acknowledgement."""
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self._headers_buffer.append(b"\r\n" + answer.body)  # type: ignore[attr-defined]
        self.flush_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives
        """Nothing: the streams are the activation's."""
