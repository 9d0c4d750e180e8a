"""Runs inside the sandbox as the program's parent: says that the sandbox stands, and relays.

It listens on 127.0.0.1 and passes on to Unix sockets that are bound in: the sandbox's network namespace is empty, so
these are all that a program reaches, by TCP as it is used to. One thread, since threads here would count as the
student's. A file of its own that needs nothing but the standard library:
`relay.py DESCRIPTOR TASKS PORT=SOCKET ... -- PROGRAM ...`; one byte is written to DESCRIPTOR, which is then closed.
TASKS, unless 0, is how many threads there may be: set here, inside, since the kernel counts them by user namespace.
"""

import contextlib
import os
import resource
import selectors
import signal
import socket
import sys

CHUNK = 256 * 1024
BACKLOG = 128
CONNECTIONS = 64
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class End:
    """One socket of a pair: what it still has to send, and whether either direction has ended."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.other = self
        self.pending = memoryview(b"")
        self.read_all = False
        self.told = False


class Relay:
    """`serve` runs until `child` has ended."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listeners: dict[socket.socket, str] = {}
        self.pairs = 0

    def listen(self, port: int, path: str) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        listener.setblocking(False)
        self.listeners[listener] = path
        self.selector.register(listener, READ)

    def serve(self, child: int) -> int:
        """The program's exit status."""
        ended = os.pidfd_open(child)
        self.selector.register(ended, READ)
        while True:
            for key, events in self.selector.select():
                if key.fileobj == ended:
                    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if isinstance(key.data, End):
                    self.move(key.data, events)
                elif isinstance(key.fileobj, socket.socket):
                    self.accept(key.fileobj)

    def accept(self, listener: socket.socket) -> None:
        outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inside, _ = listener.accept()
        except OSError:
            outside.close()
            return
        try:
            outside.connect(self.listeners[listener])
        except OSError:
            inside.close()
            outside.close()
            return
        inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one, other = End(inside), End(outside)
        one.other, other.other = other, one
        for end in (one, other):
            end.socket.setblocking(False)
            self.selector.register(end.socket, READ, end)
        self.count(1)

    def count(self, more: int) -> None:
        """Further connections wait while there are as many as there may be."""
        full = self.pairs >= CONNECTIONS
        self.pairs += more
        if full != (self.pairs >= CONNECTIONS):
            for listener in self.listeners:
                if full:
                    self.selector.register(listener, READ)
                else:
                    self.selector.unregister(listener)

    def move(self, end: End, events: int) -> None:
        if end.socket.fileno() < 0:
            return
        try:
            if events & WRITE:
                self.send(end)
            if events & READ and not end.other.pending:
                data = end.socket.recv(CHUNK)
                end.read_all = not data
                end.other.pending = memoryview(data)
                self.send(end.other)
        except BlockingIOError:
            pass
        except OSError:
            self.close(end)
            return
        if end.told and end.other.told:
            self.close(end)
        else:
            self.await_events(end)
            self.await_events(end.other)

    def send(self, end: End) -> None:
        """As much as goes now; after the last byte it is told that no more comes."""
        with contextlib.suppress(BlockingIOError):
            while end.pending:
                end.pending = end.pending[end.socket.send(end.pending) :]
        if end.other.read_all and not end.pending and not end.told:
            end.told = True
            with contextlib.suppress(OSError):
                end.socket.shutdown(socket.SHUT_WR)

    def await_events(self, end: End) -> None:
        wanted = (WRITE if end.pending else 0) | (0 if end.read_all or end.other.pending else READ)
        known = end.socket in self.selector.get_map()
        if wanted and known:
            self.selector.modify(end.socket, wanted, end)
        elif wanted:
            self.selector.register(end.socket, wanted, end)
        elif known:
            self.selector.unregister(end.socket)

    def close(self, end: End) -> None:
        for one in (end, end.other):
            if one.socket in self.selector.get_map():
                self.selector.unregister(one.socket)
            one.socket.close()
        self.count(-1)


def main(arguments: list[str]) -> int:
    """Starts the relays, then the program, and ends as the program does."""
    split = arguments.index("--")
    program = arguments[split + 1 :]
    relay = Relay()
    if tasks := int(arguments[1]):
        resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
    for pair in arguments[2:split]:
        port, path = pair.split("=", 1)
        relay.listen(int(port), path)
    os.write(int(arguments[0]), b"1")
    os.close(int(arguments[0]))
    if not relay.listeners:
        os.execv(program[0], program)
    child = os.posix_spawn(program[0], program, os.environ)
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    code = relay.serve(child)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
