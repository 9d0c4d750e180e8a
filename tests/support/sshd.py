"""A real sshd (Debian's openssh-server) for the user of the tests, with the keys of a course, and students' clients."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = "/usr/sbin/sshd"
CONFIGURATION = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
# the folder lies below /tmp, which everybody may write to
StrictModes no
Subsystem sftp internal-sftp
"""
START_S = 30.0


@dataclass(frozen=True)
class Sshd:
    """One that runs; `folder` also holds the private key of each student."""

    folder: Path
    port: int

    def client(self, student: str) -> list[str]:
        """The command line of ssh with this student's key and no settings of the user's."""
        options = ("IdentitiesOnly=yes", "BatchMode=yes", f"UserKnownHostsFile={self.folder}/known_hosts")
        named = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", "-i", str(self.folder / student), "-p", str(self.port), *named]

    def address(self, path: str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{path}"


def make_key(folder: Path, name: str) -> Path:
    """The public half's file."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
    subprocess.run(command, check=True)
    return folder / f"{name}.pub"


@contextmanager
def sshd(folder: Path, authorized_keys: str) -> Iterator[Sshd]:
    """Skips the test where there is no sshd."""
    if shutil.which("ssh") is None or not Path(PROGRAM).exists():
        pytest.skip("no sshd here: `apt-get install openssh-server` makes it possible")
    if os.geteuid() == 0:  # where it drops its privileges; its service makes it at each start
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host_key = make_key(folder, "host").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "authorized_keys").write_text(authorized_keys)
    (folder / "sshd_config").write_text(CONFIGURATION.format(port=port, folder=folder))
    command = [PROGRAM, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + START_S
            while "Server listening" not in (folder / "sshd.log").read_text():
                assert process.poll() is None, (folder / "sshd.log").read_text()
                assert time.monotonic() < deadline, "sshd does not start"
                time.sleep(0.05)
            yield Sshd(folder, port)
        finally:
            process.terminate()
