"""Connections to an address: by the Unix socket that stands for it in the sandbox, else by TCP.

In the process sandbox RUNNER_SOCKETS says which socket each loopback address stands for; a relay serves these
addresses to other programs, and going past it saves copying every byte twice.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from urllib.parse import SplitResult


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the Host header is the address that it stands for."""

    def __init__(self, host: str, port: int, path: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connection(address: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """An unopened connection to the host of a URL; `timeout` in seconds, of each read and write."""
    host, port = address.hostname or "", address.port
    path = sockets().get(f"{host}:{port}")
    if path is not None and port is not None and address.scheme == "http":
        return UnixConnection(host, port, path, timeout)
    secure = address.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    # without a port it would look for one in an IPv6 address
    return connect(host, port or (443 if secure else 80), timeout=timeout)


def sockets() -> dict[str, str]:
    """host:port -> path of a Unix socket; empty outside the process sandbox."""
    try:
        told = json.loads(os.environ.get("RUNNER_SOCKETS") or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
