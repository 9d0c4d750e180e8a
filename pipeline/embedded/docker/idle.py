"""The image of a container in which nothing happens: one program of a few instructions, which waits for ever.

An image of somebody else could not be counted on: an action's need not have any program that we know, and one that is
pulled would have to be had. So this one is made here and imported, less than 200 bytes of program.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile

from pipeline.embedded.docker.engine import Engine

REPOSITORY = "ml-pipeline/idle"
NAME = "idle"
AT = 0x400000
PAGE = 0x10000
"""The largest page that a kernel of these machines may have."""
HEADERS = 64 + 56
"""Bytes of ELF's header and of one program header."""
X86_64, AARCH64 = 62, 183
"""ELF's numbers of machines."""
LOADED, READ_AND_RUN = 1, 5
INSTRUCTIONS = {
    # xor edi, edi; xor esi, esi; xor edx, edx; xor r10d, r10d; mov eax, 271; syscall; jmp to the beginning
    "x86_64": (X86_64, "31ff 31f6 31d2 4531d2 b80f010000 0f05 ebee"),
    # mov x0 .. x3, 0; mov x8, 73; svc 0; b to the beginning
    "aarch64": (AARCH64, "000080d2 010080d2 020080d2 030080d2 280980d2 010000d4 faffff17"),
}
"""ppoll of nothing without a limit of time, again and again."""


def program(machine: str) -> bytes:
    """A static program for Linux. Raises KeyError for a machine that is not known."""
    number, text = INSTRUCTIONS[machine]
    code = bytes.fromhex(text)
    length = HEADERS + len(code)
    kind = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, AT + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return kind + header + struct.pack("<IIQQQQQQ", LOADED, READ_AND_RUN, 0, AT, AT, length, length, PAGE) + code


def tag(machine: str) -> str:
    """Of its content, so that another version is another image."""
    return hashlib.sha256(program(machine)).hexdigest()[:16]


def make(engine: Engine) -> None:
    """Imports the image. Raises ENGINE_ERRORS."""
    content = program(engine.machine)
    entry = tarfile.TarInfo(NAME)
    entry.mode, entry.size = 0o755, len(content)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    changes = [f'ENTRYPOINT ["/{NAME}"]']
    engine.api.import_image_from_data(made.getvalue(), REPOSITORY, tag(engine.machine), changes=changes)
