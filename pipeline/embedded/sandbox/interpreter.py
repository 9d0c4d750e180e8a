"""The interpreter's own files, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from pipeline.embedded.sandbox.launch import Mount


def interpreter_mounts(python: Path) -> tuple[Mount, ...]:
    """What a sandbox needs beside /usr to start `python`, a path without links; nothing where it is the system's."""
    prefix = python.parent.parent
    if Path("/usr") in (prefix, *prefix.parents):
        return ()
    return (Mount(prefix, prefix),)
