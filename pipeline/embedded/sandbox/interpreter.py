"""The interpreter's own files, wherever they lie."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.embedded.sandbox.launch import Mount


def interpreter_mounts() -> tuple[Mount, ...]:
    """What a sandbox needs beside /usr to start this Python; nothing where Python is the system's."""
    prefix = Path(sys.base_prefix).resolve()
    if prefix == Path("/usr") or Path("/usr") in prefix.parents:
        return ()
    return (Mount(prefix, prefix),)
