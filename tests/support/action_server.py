"""A container of tests: serves /init and /run on the port in PORT, and does what the arguments' `do` says."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
STATE: dict[str, Any] = {"runs": 0, "init": None}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/init":
            STATE["init"] = body
            self.answer({"ok": True})
            return
        STATE["runs"] += 1
        arguments = body["value"]
        for line in range(arguments.get("lines", 0)):
            print(f"line {line} {'x' * arguments.get('width', 0)}", flush=True)
            print(f"problem {line}", file=sys.stderr, flush=True)
        self.act(arguments, body)
        for stream in (sys.stdout, sys.stderr):
            print(SENTINEL, file=stream, flush=True)

    def act(self, arguments: dict[str, Any], body: dict[str, Any]) -> None:
        match arguments.get("do", "echo"):
            case "echo":
                self.answer({"arguments": arguments, "pid": os.getpid(), "runs": STATE["runs"]})
            case "told":
                self.answer({"init": STATE["init"], "run": body, "environment": dict(os.environ)})
            case "result":
                self.answer(arguments["result"])
            case "sleep":
                time.sleep(arguments["seconds"])
                self.answer({"pid": os.getpid()})
            case "exit":
                os._exit(3)
            case "fail":
                self.answer({"error": "as asked"}, arguments.get("status", 200))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, 9)  # end with the server that started this, even when that is killed
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
