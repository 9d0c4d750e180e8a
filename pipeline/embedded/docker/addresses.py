"""The addresses that containers have on their networks: chosen here, so that each is known before it starts."""

from __future__ import annotations

import ipaddress
from collections import deque

from pipeline.embedded.docker.networks import Network
from pipeline.embedded.openwhisk.containers import NoContainerError


class Addresses:
    """Free addresses by network; the one given back last is taken last."""

    def __init__(self) -> None:
        self.free: dict[str, deque[str]] = {}

    def take(self, network: Network) -> str:
        """Raises NoContainerError where all are taken."""
        if network.name not in self.free:
            hosts = (str(one) for one in ipaddress.IPv4Network(network.subnet).hosts())
            self.free[network.name] = deque(one for one in hosts if one != network.gateway)
        if not self.free[network.name]:
            raise NoContainerError(f"all addresses of {network.subnet} are taken by containers")
        return self.free[network.name].popleft()

    def give_back(self, network: Network, address: str) -> None:
        self.free[network.name].append(address)
