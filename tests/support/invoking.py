"""OpenWhisk as the pipeline asks it, with the namespace's key, and as student code does, with one of the run's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pipeline.embedded.client import Embedded
from pipeline.embedded.settings import EmbeddedSettings

OWN = "run-1-map"
"""The run's action that student code may invoke."""


@dataclass
class There:
    """Supervised servers and the OpenWhisk that they lead to, with the key of its namespace."""

    servers: Embedded
    state: Path
    settings: EmbeddedSettings
    apihost: str
    auth: str
    ca_file: Path | None = None

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """As the pipeline does, with the namespace's own key."""
        url = f"{self.apihost}/api/v1/namespaces/_/{path}"
        user, key = self.auth.split(":")
        return requests.request(method, url, json=body, auth=(user, key), timeout=120, verify=self.verify)

    @property
    def verify(self) -> bool | str:
        return str(self.ca_file) if self.ca_file else True


@dataclass
class Student:
    """What student code holds: an address and a key."""

    apihost: str
    auth: str

    def ask(
        self, method: str, path: str, body: Any = None, *, auth: str | None = None, data: bytes | None = None
    ) -> requests.Response:
        user, _, key = (self.auth if auth is None else auth).partition(":")
        headers = {"Content-Type": "application/json"}
        content = data if data is not None or body is None else json.dumps(body).encode()
        credentials = (user, key) if user else None
        url = f"{self.apihost}{path}"
        return requests.request(method, url, data=content, headers=headers, auth=credentials, timeout=120)

    def invoke(self, body: Any = None, query: str = "?blocking=true&result=true") -> requests.Response:
        return self.ask("POST", f"/api/v1/namespaces/_/actions/{OWN}{query}", body or {})
