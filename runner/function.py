"""A student's `main(params)`: given at /init as text or as a base64 zip, or found in the code folder."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.archives import extract_zip
from runner.errors import FormatError, StudentError
from runner.student import code_folder, load_file, student_code

Main = Callable[[dict[str, Any]], Any]
ENTRIES = ("main.py", "__main__.py")


def write_code(code: str, binary: bool) -> Path:
    """Puts code given at /init into a new folder and returns the folder. Raises FormatError."""
    folder = Path(tempfile.mkdtemp(prefix="action-")).resolve()
    if binary:
        try:
            content = base64.b64decode(code, validate=True)
        except (binascii.Error, ValueError):
            raise FormatError("code: it is said to be binary and is not base64") from None
        extract_zip(content, folder, "code")
    else:
        (folder / ENTRIES[0]).write_text(code, encoding="utf-8", errors="surrogatepass")
    return folder


def load_main(folder: Path | None = None, name: str = "main") -> Main:
    """The function `name` of the folder's main.py or __main__.py (default: the submission's). Raises StudentError."""
    home = folder or code_folder()
    # of an archive OpenWhisk's own runtime takes __main__.py
    entries = ENTRIES if folder is None else ENTRIES[::-1]
    entry = next((home / one for one in entries if (home / one).is_file()), None)
    if entry is None:
        raise StudentError(f"there is no {' and no '.join(entries)} in the top folder of the code")
    function = getattr(load_file(entry), name or "main", None)
    if not callable(function):
        raise StudentError(f"{entry.name}: there is no function {name[:80]}(params)")

    def call(params: dict[str, Any]) -> Any:
        with student_code(f"{entry.name}, {name}", home):
            return function(params)

    return call
