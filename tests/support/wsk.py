"""The requests that `wsk` sends for the course's commands, one method a command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import requests

PATIENCE_S = 240.0


class Wsk:
    """`wsk property set --apihost APIHOST --auth UUID:KEY`."""

    def __init__(self, apihost: str, auth: str) -> None:
        self.api = f"{apihost}/api/v1/namespaces/_"
        user, _, key = auth.partition(":")
        self.key = (user, key)

    def create_docker(self, name: str, image: str, *, web: bool = False, timeout: int | None = None) -> dict[str, Any]:
        """`wsk action create NAME --docker IMAGE [--web true] [--timeout MS]`"""
        body: dict[str, Any] = {"exec": {"kind": "blackbox", "image": image}}
        if web:
            flags = {"web-export": True, "raw-http": False, "final": True}
            body["annotations"] = [{"key": key, "value": value} for key, value in flags.items()]
        if timeout is not None:
            body["limits"] = {"timeout": timeout}
        return self.create(name, body)

    def create_file(self, name: str, file: Path) -> dict[str, Any]:
        """`wsk action create NAME hello.py`"""
        kind = {".py": "python:default", ".js": "nodejs:default"}[file.suffix]
        return self.create(name, {"exec": {"kind": kind, "code": file.read_text()}})

    def create(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        whole = {"namespace": "_", "name": name} | body
        return self.answer(self.ask("PUT", f"actions/{name}?overwrite=false", whole))

    def invoke(self, action: str, /, **parameters: Any) -> str:
        """`wsk action invoke NAME --param KEY VALUE ...`: the activation's id"""
        asked = self.ask("POST", f"actions/{action}?blocking=false&result=false", parameters)
        assert asked.status_code == 202, asked.text
        return str(asked.json()["activationId"])

    def result_of(self, action: str, /, **parameters: Any) -> Any:
        """`wsk action invoke NAME --result --param KEY VALUE ...`"""
        return self.answer(self.ask("POST", f"actions/{action}?blocking=true&result=true", parameters))

    def actions(self) -> list[str]:
        """`wsk action list`"""
        return [one["name"] for one in self.answer(self.ask("GET", "actions?limit=30&skip=0"))]

    def activations(self) -> list[str]:
        """`wsk activation list`"""
        return [one["activationId"] for one in self.answer(self.ask("GET", "activations?limit=30&skip=0"))]

    def activation(self, number: str, part: str = "") -> Any:
        """`wsk activation get|logs|result ID`, again until it has ended"""
        until = time.monotonic() + PATIENCE_S
        while (answer := self.ask("GET", f"activations/{number}{part and '/'}{part}")).status_code == 404:
            assert time.monotonic() < until, answer.text
            time.sleep(0.2)
        return self.answer(answer)

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        return requests.request(
            method, f"{self.api}/{path}", data=data, headers=headers, auth=self.key, timeout=PATIENCE_S
        )

    def answer(self, response: requests.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json()
