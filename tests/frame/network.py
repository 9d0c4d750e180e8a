"""No way out of this machine: what a unit test gets instead of the world."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname()}


class WorldTouched(AssertionError):
    """A unit test tried to reach another machine."""


def is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in LOCAL_NAMES:
        return True
    try:
        address = ip_address(str(name))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def stay_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback and Unix sockets work; connections and look-ups of other machines raise WorldTouched."""
    look_up = socket.getaddrinfo

    def checked(method: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not is_local(address[0]):
                raise WorldTouched(f"a unit test connects to {address}")
            return method(self, address)

        return connect

    def checked_look_up(host: Any, *rest: Any, **options: Any) -> Any:
        if not is_local(host):
            raise WorldTouched(f"a unit test looks up {host}")
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", checked(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", checked(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", checked_look_up)
