"""The student's code: where it is, how it is loaded, and what becomes of its exceptions.

Its folder comes last on sys.path, so that its `numpy.py` or `runner.py` hides nothing that the runner needs, while
`import layers` still finds its own `layers.py`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType

from runner.errors import RunnerError, StudentError

EXAMPLE = Path(__file__).resolve().parent.parent / "submissions_example" / "mnist_train"
MAX_MESSAGE = 500


def code_folder() -> Path:
    """RUNNER_CODE, or the example of a checkout. Raises StudentError where there is no such folder."""
    folder = Path(os.environ.get("RUNNER_CODE") or EXAMPLE)
    if not folder.is_dir():
        raise StudentError(f"no code: {folder} is no folder; set RUNNER_CODE to the one with the submission")
    return folder.resolve()


def load_file(path: Path) -> ModuleType:
    """Imports one file, or a package's `__init__.py`, under its own name, or under another where that name is taken.

    Loaded once: a second call gives the same module. Raises StudentError.
    """
    for loaded in list(sys.modules.values()):
        if getattr(loaded, "__runner_path__", None) == str(path):
            return loaded
    if not path.is_file():
        raise StudentError(f"{path.name} is missing: the submission has no such file in its top folder")
    package = [str(path.parent)] if path.name == "__init__.py" else None
    stem = path.parent.name if package else path.stem
    name = stem if _is_free(stem) else f"submission_{stem}"
    if not package and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=package)
    if spec is None or spec.loader is None:
        raise StudentError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    module.__runner_path__ = str(path)  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        with student_code(path.name, path.parent):
            spec.loader.exec_module(module)
    except StudentError:
        del sys.modules[name]
        raise
    return module


def _is_free(name: str) -> bool:
    try:
        return name not in sys.modules and importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return False


@contextmanager
def student_code(what: str, folder: Path | None = None) -> Iterator[None]:
    """Turns what the student's code raises, sys.exit and KeyboardInterrupt too, into a StudentError.

    The traceback, without the frames above the student's, goes to stderr. `what` names the place where no frame is
    the student's, `folder` where that code lies (default: the submission's).
    """
    try:
        yield
    except RunnerError:
        raise
    except BaseException as error:
        home = folder or code_folder()
        first = _first_frame(error.__traceback__, home)
        shown = traceback.TracebackException(type(error), error, first or error.__traceback__, limit=30, compact=True)
        print("".join(shown.format()).rstrip(), file=sys.stderr, flush=True)
        lines = list(shown.format_exception_only())
        # a SyntaxError comes with the line and a caret before it
        summary = " ".join((lines[-1] if isinstance(error, SyntaxError) else lines[0]).split())
        raise StudentError(f"{_place(error, home) or what}: {summary}"[:MAX_MESSAGE]) from None


def _first_frame(trace: TracebackType | None, home: Path) -> TracebackType | None:
    while trace is not None and not _is_within(trace.tb_frame.f_code.co_filename, home):
        trace = trace.tb_next
    return trace


def _place(error: BaseException, home: Path) -> str:
    """`model.py, line 12` of the innermost frame that is the student's."""
    if isinstance(error, SyntaxError) and error.filename and _is_within(error.filename, home):
        return f"{_relative(error.filename, home)}, line {error.lineno}"
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _is_within(frame.f_code.co_filename, home):
            place = f"{_relative(frame.f_code.co_filename, home)}, line {line}"
    return place


def _is_within(filename: str, home: Path) -> bool:
    return Path(filename).is_relative_to(home)


def _relative(filename: str, home: Path) -> str:
    return str(Path(filename).relative_to(home))
