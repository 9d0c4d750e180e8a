"""The relay as a program in the sandbox meets it: TCP that ends in a Unix socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.embedded.sandbox import relay

DEADLINE_S = 60
TALKS = """
import socket, sys
def ask(data):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as one:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        while part := one.recv(65536):
            answer += part
    return answer
assert ask(b"") == b""
assert ask(b"x" * 3_000_000) == b"x" * 3_000_000
silent = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(70)]
for one in silent:
    one.close()
assert ask(b"after many") == b"after many"
sys.exit(7)
"""
CUT_OFF = """
import socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
try:
    sys.exit(3 if one.recv(1) == b"" else 4)
except ConnectionError:
    sys.exit(3)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def relayed(path: Path, program: str) -> tuple[int, bytes]:
    """The program's exit status by way of the relay, and what was told to have started."""
    started, told = os.pipe()
    port = free_port()
    command = [sys.executable, "-I", "-S", relay.__file__, str(told), "0", f"{port}={path}", "--"]
    command += [sys.executable, "-I", "-S", "-c", program, str(port)]
    done = subprocess.run(command, pass_fds=(told,), timeout=DEADLINE_S, check=False)
    os.close(told)
    with os.fdopen(started, "rb") as said:
        return done.returncode, said.read()


@pytest.mark.skipif(sys.platform != "linux", reason="the relay runs in network namespaces, which are Linux's")
def test_bytes_arrive_whole_and_more_connections_than_there_may_be_only_wait(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(128)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        assert relayed(tmp_path / "s", TALKS) == (7, b"1")


@pytest.mark.skipif(sys.platform != "linux", reason="the relay runs in network namespaces, which are Linux's")
def test_a_service_that_is_gone_is_a_connection_that_ends(tmp_path: Path) -> None:
    assert relayed(tmp_path / "nothing", CUT_OFF) == (3, b"1")


@pytest.mark.skipif(sys.platform != "linux", reason="the relay runs in network namespaces, which are Linux's")
def test_it_ends_as_its_program_does(tmp_path: Path) -> None:
    assert relayed(tmp_path / "nothing", "import os; os.kill(os.getpid(), 9)") == (128 + 9, b"1")
