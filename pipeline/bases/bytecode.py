"""Bytecode of packages, compiled by the Python that will load them: another one's is not read, and none could be kept.

It is checked by nobody at import (PEP 552, unchecked): what it was compiled from lies beside it, read-only.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from pipeline.bases.running import run_python, tar_of
from pipeline.embedded.docker.engine import Engine

WITHOUT = r"/tests?/|/testing/_internal/"
SCRIPT = """
import multiprocessing, os, py_compile, re
from importlib.util import cache_from_source

place, without = {place!r}, re.compile({without!r})

def compiled(path):
    inside = path.removeprefix("/given/packages")
    py_compile.compile(
        path, cache_from_source("/given/bytecode" + inside), place + inside, quiet=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )

paths = [os.path.join(folder, name) for folder, _, names in os.walk("/given/packages") for name in names]
os.makedirs("/given/bytecode")
with multiprocessing.get_context("fork").Pool() as pool:
    pool.map(compiled, sorted(path for path in paths if not without.search(path)), chunksize=16)
"""


def compile_packages(engine: Engine, image: str, packages: Path, place: str) -> None:
    """Puts the bytecode of all modules in `packages`, but of tests, beside them; what is there already is removed.

    `place` is where they will lie in a container. Raises CourseError for an image without Python, InfrastructureError.
    """
    for old in list(packages.rglob("__pycache__")):
        shutil.rmtree(old)
    script = SCRIPT.format(place=place, without=WITHOUT)
    with tar_of(packages, "given/packages", (".py",)) as sources:
        _, made = run_python(engine, image, script, given=sources, taken="/given/bytecode")
    assert made is not None, "it was asked for"
    with made, tarfile.open(fileobj=made) as archive:
        for entry in archive:
            lay(archive, entry, packages)


def lay(archive: tarfile.TarFile, entry: tarfile.TarInfo, packages: Path) -> None:
    """One file of bytecode beside its module; nothing else, should the image's Python have given something else."""
    path = PurePosixPath(entry.name).relative_to("bytecode")
    module = path.parent.parent / f"{path.name.partition('.')[0]}.py"
    if not (entry.isreg() and path.parent.name == "__pycache__" and re.fullmatch(r"[\w.-]+\.pyc", path.name)):
        return
    if ".." in path.parts or not (packages / module).is_file():
        return
    content = archive.extractfile(entry)
    assert content is not None, "it is a regular file"
    target = packages / path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content.read())
