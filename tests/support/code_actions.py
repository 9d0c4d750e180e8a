"""Code actions as `wsk action create` sends them, and calls of them."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

from support.openwhisk import Server


def zipped(files: dict[str, str]) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(name, text)
    return base64.b64encode(archive.getvalue()).decode()


def create(server: Server, code: str, kind: str = "python:default", **more: Any) -> dict[str, Any]:
    """What `wsk action create` sends."""
    server.ask("DELETE", "actions/hello")
    main = {"main": more.pop("main")} if "main" in more else {}
    body = {"namespace": "_", "name": "hello", "exec": {"kind": kind, "code": code, **main}, **more}
    answer = server.ask("PUT", "actions/hello?overwrite=false", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def call(server: Server, arguments: Any = None) -> tuple[str, Any]:
    """Status and result of a blocking call."""
    response = server.call(arguments, "hello").json()["response"]
    return response["status"], response["result"]
