"""Runs inside the sandbox before the program: listens on 127.0.0.1 and passes on to Unix sockets that are bound in.

The sandbox's network namespace is empty, so these are all that a program reaches, by TCP as it is used to. A file of
its own, since it runs with nothing but the standard library: `relay.py PORT=SOCKET ... -- PROGRAM ...`.
"""

import contextlib
import os
import signal
import socket
import sys
import threading

CHUNK = 256 * 1024
BACKLOG = 128


def serve(port: int, path: str) -> None:
    """Listens on a loopback port; each connection is passed on by two threads."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    threading.Thread(target=accept, args=(listener, path), daemon=True).start()


def accept(listener: socket.socket, path: str) -> None:
    while True:
        inside, _ = listener.accept()
        outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            outside.connect(path)
        except OSError:
            inside.close()
            outside.close()
            continue
        inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((inside, outside), (outside, inside)):
            threading.Thread(target=pump, args=(source, target), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copies until the source ends, then says so to the target."""
    buffer = memoryview(bytearray(CHUNK))
    try:
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def main(arguments: list[str]) -> int:
    """Starts the relays, then the program, and ends as the program does."""
    split = arguments.index("--")
    for pair in arguments[:split]:
        port, path = pair.split("=", 1)
        serve(int(port), path)
    program = arguments[split + 1 :]
    child = os.posix_spawn(program[0], program, os.environ)
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
