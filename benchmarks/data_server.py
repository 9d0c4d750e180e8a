"""Serves shards by HTTP, to all ranks at the same moment, so that all of them are ready together."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 300


@contextmanager
def serve_together(folder: Path, ranks: int) -> Iterator[str]:
    """The base URL of `folder`; the first `ranks` requests are answered when all of them have come."""
    together = threading.Barrier(ranks)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            together.wait(PATIENCE_S)
            super().do_GET()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
