"""What a namespace's actions reach where nobody says so for each: OpenWhisk's API, the store, and what staff name."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Sequence

from pipeline.embedded.contract import API_SERVICE, EVERY_ACTION, Reach, Service

STORE_SERVICE = "store"
TARGET = re.compile(r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):(?P<port>[1-9]\d{0,4})", re.ASCII)
ADDRESS = re.compile(r"[0-9.]+")
UNPRIVILEGED, SPARE = 1024, 20_000
"""Ports below the first are only root's to listen on; those that cannot be had as they are go up from the second."""


def target_fault(text: str) -> str:
    """What is wrong with a HOST:PORT that staff name; empty where nothing is."""
    match = TARGET.fullmatch(text)
    if match is None:
        return "is not HOST:PORT, HOST a name or an address of IPv4"
    if int(match["port"]) > 65535:
        return "has a port above 65535"
    if ADDRESS.fullmatch(match["host"]):
        try:
            ipaddress.IPv4Address(match["host"])
        except ValueError:
            return "has an address that is none of IPv4"
    return ""


def guest_reach(namespace: str, apihost: str, store: str, further: Sequence[str]) -> Reach:
    """The reach of all its actions. `apihost` and `store` are host:port, services are named as in `named`."""
    targets = {API_SERVICE: apihost, STORE_SERVICE: store} | {service_name(one): one for one in further}
    ports = inside_ports([int(one.rpartition(":")[2]) for one in targets.values()])
    services = [
        Service(name=name, target=target, port=port)
        for (name, target), port in zip(targets.items(), ports, strict=True)
    ]
    return Reach(namespace=namespace, action=EVERY_ACTION, services=tuple(services))


def service_name(target: str) -> str:
    """A name fit for a file."""
    return f"reach-{target.replace(':', '-')}"


def named(addresses: dict[str, str], further: Sequence[str]) -> dict[str, str]:
    """Inside addresses by what people call the services: `openwhisk`, `store`, and HOST:PORT as it was given."""
    names = {service_name(one): one for one in further}
    return {names.get(service, service): address for service, address in addresses.items()}


def inside_ports(wanted: Iterable[int]) -> list[int]:
    """The same ports where they can be had, each once."""
    given: list[int] = []
    spare = itertools.count(SPARE)
    for port in wanted:
        fits = port >= UNPRIVILEGED and port not in given
        given.append(port if fits else next(one for one in spare if one not in given))
    return given
