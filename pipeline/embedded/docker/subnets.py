"""Networks cut from a pool: how large, and which are worth trying."""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Iterable, Iterator

import psutil

from pipeline.errors import CourseError

TAKEN = 4
"""Addresses that no container gets: the network's own, its broadcast, this host's, that of one on its way out."""
SMALLEST = 28

Subnet = ipaddress.IPv4Network


def pool_of(text: str, containers: int) -> tuple[Subnet, int]:
    """The pool, and the prefix length of networks for so many containers. Raises CourseError."""
    try:
        pool = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise CourseError(f"networks = {text!r}: {error}", hint="such as 10.213.0.0/16") from None
    prefix = min(SMALLEST, 32 - (containers + TAKEN - 1).bit_length())
    if prefix < pool.prefixlen:
        raise CourseError(
            f"networks = {text}: {containers} containers need a /{prefix}", hint="name a larger range of addresses"
        )
    return pool, prefix


def candidates(pool: Subnet, prefix: int, taken: Iterable[Subnet]) -> Iterator[Subnet]:
    """Every network of that size that overlaps none of `taken`, from a random one on: others are choosing too."""
    among = sorted((one for one in taken if one.overlaps(pool)), key=lambda one: one.network_address)
    count = 2 ** (prefix - pool.prefixlen)
    size = 2 ** (32 - prefix)
    first = random.randrange(count)
    for at in range(count):
        start = int(pool.network_address) + (first + at) % count * size
        subnet = ipaddress.IPv4Network((start, prefix))
        if not any(one.overlaps(subnet) for one in among):
            yield subnet


def of_this_host() -> list[Subnet]:
    """The networks that this machine's interfaces are on."""
    found = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family is socket.AF_INET and one.netmask:
                found.append(ipaddress.IPv4Network(f"{one.address}/{one.netmask}", strict=False))
    return found


def read_subnets(texts: Iterable[str]) -> list[Subnet]:
    """Those of IPv4 among what an engine says of its networks."""
    read = (ipaddress.ip_network(text, strict=False) for text in texts if text)
    return [one for one in read if isinstance(one, ipaddress.IPv4Network)]
