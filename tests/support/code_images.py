"""The image of code actions, for tests: this checkout's runner, in a folder that every user may pass."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from pipeline.embedded.contract import CODE_IMAGE, ProcessImage
from support.openwhisk import TESTS, Sandbox


def process_sandbox(folder: Path) -> Sandbox:
    """The process sandbox, its image put together in `folder`."""
    shutil.copytree(TESTS.parent / "runner", folder / "image" / "runner", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "code").mkdir()
    image = ProcessImage(
        reference=CODE_IMAGE,
        digest="none",
        python=Path(sys.executable).resolve(),
        base=Path(sysconfig.get_path("purelib")),
        environment=None,
        code=folder / "code",
        runner=folder / "image",
    )
    return Sandbox("process", [image.model_dump(mode="json")])


SANDBOXES: dict[str, Callable[[Path], Sandbox]] = {"process": process_sandbox}
