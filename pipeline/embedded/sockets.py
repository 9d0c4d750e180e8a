"""Where Unix sockets lie: their paths may have some hundred bytes only, a run's folder may be deeper than that."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from pipeline.errors import InfrastructureError
from pipeline.files import write_text

LONGEST_FOLDER = 60
"""bytes; sun_path has 104 on macOS, 108 on Linux, and names of up to 40 follow"""


def socket_folder(state: Path) -> Path:
    """A folder, 0700, for the sockets of the servers of `state`: inside it, or where that is too deep, a short one.

    The same one again as long as it is there and ours.
    """
    inside, noted = state / "sockets", state / "sockets.path"
    if len(str(inside).encode()) <= LONGEST_FOLDER:
        inside.mkdir(mode=0o700, exist_ok=True)
        inside.chmod(0o700)
        return inside
    if noted.exists() and is_ours(Path(noted.read_text())):
        return Path(noted.read_text())
    made = Path(tempfile.mkdtemp(prefix="pipeline-"))
    write_text(noted, str(made), mode=0o600)
    return made


def remove_socket_folder(state: Path) -> None:
    """Removes a folder outside `state`; sockets inside it are removed by their servers."""
    noted = state / "sockets.path"
    if noted.exists():
        folder = Path(noted.read_text())
        if is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
        noted.unlink()


def is_ours(folder: Path) -> bool:
    """A folder in /tmp is used again only when nobody else can have put it there."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return private and status.st_uid == os.geteuid()


def tcp_listener(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises InfrastructureError where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise InfrastructureError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="another program has the port: name another one"
        ) from error
    return listener
