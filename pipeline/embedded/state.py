"""The folder of one process of embedded servers: every path inside it, named here and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar


class State:
    """`folder` is 0700: keys, students' output and the stores' data lie in it."""

    TAKEN: ClassVar[int] = 75
    """exit code of a supervisor that found another one in the folder"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock_file = folder / "lock"
        self.settings_file = folder / "settings.json"
        self.kept_file = folder / "kept.json"
        self.ready_file = folder / "ready.json"
        self.log_file = folder / "supervisor.log"
        self.children_file = folder / "children.jsonl"
        self.reach_file = folder / "reach.json"
        self.forwarders_file = folder / "forwarders.json"
        self.invocations_file = folder / "invocations.json"
        self.outside_file = folder / "outside.json"
        self.openwhisk = folder / "openwhisk"
        self.store = folder / "store"
        self.images = folder / "images"

    def create(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.images.mkdir(exist_ok=True)

    def image_file(self, reference: str) -> Path:
        """The manifest of a process image."""
        return self.images / f"{re.sub('[/:]', '_', reference)}.json"
