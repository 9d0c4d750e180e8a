"""A bucket over HTTP in this process, for workers that run as threads of a test. It checks no signature."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Objects:
    """What lies there, the most bytes that ever did, and each request as (method, key)."""

    endpoint: str = ""
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, key: str, content: bytes) -> None:
        with self.lock:
            self.stored[key] = content
            self.most = max(self.most, sum(map(len, self.stored.values())))

    def requests(self, method: str, prefix: str) -> int:
        return sum(verb == method and key.startswith(prefix) for verb, key in self.asked)


@contextmanager
def bucket_over_http() -> Iterator[Objects]:
    objects = Objects()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def key(self) -> str:
            key = self.path.partition("?")[0].removeprefix("/run").removeprefix("/")
            with objects.lock:
                objects.asked.append((self.command, key))
            return key

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def answer(self, status: int, content: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            content = objects.stored.get(self.key())
            self.answer(404 if content is None else 200, content or b"")

        def do_PUT(self) -> None:
            objects.put(self.key(), self.body())
            self.answer(200)

        def do_POST(self) -> None:
            self.key()
            for key in re.findall(rb"<Key>([^<]*)</Key>", self.body()):
                objects.stored.pop(key.decode(), None)
            self.answer(200)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    objects.endpoint = f"127.0.0.1:{server.server_port}"
    try:
        yield objects
    finally:
        server.shutdown()
        server.server_close()
