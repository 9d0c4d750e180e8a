"""What activations used, kept on disk: a run asks for it after its servers may have been killed and started again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from pipeline.embedded.contract import Usage
from pipeline.files import sync


class UsageBook:
    """One line of JSON for each activation; the namespace, then the usage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, tuple[str, Usage]] = {}
        self.read()

    def read(self) -> None:
        """A last line that a kill tore is left out, and closed so that the next one begins a line."""
        content = self.path.read_bytes() if self.path.exists() else b""
        for line in content.splitlines():
            try:
                namespace, usage = json.loads(line)
                entry = Usage.model_validate(usage)
            except (ValueError, TypeError, ValidationError):
                continue
            self.entries[entry.activation] = (namespace, entry)
        if content and not content.endswith(b"\n"):
            self.append(b"\n")

    def add(self, namespace: str, usages: Iterable[Usage]) -> None:
        """Writes down those that are new."""
        new = [one for one in usages if one.activation not in self.entries]
        if new:
            lines = (json.dumps([namespace, one.model_dump(mode="json")]) + "\n" for one in new)
            self.append("".join(lines).encode())
            self.entries.update({one.activation: (namespace, one) for one in new})

    def append(self, content: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(content)
            file.flush()
            sync(file.fileno(), self.path.name)

    def of(self, namespace: str) -> list[Usage]:
        return [usage for owner, usage in self.entries.values() if owner == namespace]
