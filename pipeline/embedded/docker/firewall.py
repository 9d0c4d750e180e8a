"""What the kernel lets pass from a network's containers: to our own listeners on its gateway, and nothing else.

Each network has a chain of its own, named as its bridge, that stands before the bridge does and goes after it. Every
change is one transaction of iptables-restore, so that supervisors do not meet half of each other's rules, and a kill
leaves all of a network's or nothing. A comment names the owner, so that what was left is found. Root only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.errors import InfrastructureError

PREFIX = "plr-"
MARK = "ml-pipeline:"
JUMP = re.compile(rf"-A (\S+) -i ({PREFIX}[0-9a-f]+) .*--comment \"?{MARK}([0-9.:]+)\"?( .*|)")
BEFORE_DOCKER = "DOCKER-USER"
"""Docker goes through it before all of its own rules, which it puts before everybody else's."""
PATIENCE_S = 20
ATTEMPTS = 5
WAIT = ("-w", "10")
"""For the lock that iptables takes."""
MISSING_IPV4 = "services of this host are not closed to containers"
MISSING_IPV6 = "services of this host are not closed to containers over IPv6"


@dataclass(frozen=True)
class Opening:
    """What containers behind a bridge may reach: TCP ports of the gateway, and addresses that lead to some of these."""

    gateway: str
    ports: frozenset[int] = frozenset()
    led: Mapping[tuple[str, int], int] = field(default_factory=dict)


CLOSED = Opening(gateway="")


class Firewall:
    """The rules of one owner's networks. `missing` says what cannot be enforced here, and why."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.ipv4, self.ipv6, self.missing = usable()

    def close_off(self, bridge: str) -> None:
        """Before there is such a bridge: nothing passes from it."""
        if self.ipv4:
            forward = BEFORE_DOCKER if f"-N {BEFORE_DOCKER}" in rules("iptables", "filter") else "FORWARD"
            restore("iptables", [*filtered(bridge, CLOSED, "icmp-port-unreachable"), *self.jumps(bridge, forward)])
            restore("iptables", ["*nat", f":{bridge} - [0:0]", self.jump("PREROUTING", bridge), "COMMIT"])
        if self.ipv6:
            restore("ip6tables", [*filtered(bridge, CLOSED, "icmp6-port-unreachable"), *self.jumps(bridge, "FORWARD")])

    def open(self, bridge: str, opening: Opening) -> None:
        """Replaces what was open before."""
        if self.ipv4:
            restore("iptables", [*filtered(bridge, opening, "icmp-port-unreachable"), "COMMIT"])
            restore("iptables", led(bridge, opening))

    def jumps(self, bridge: str, forward: str) -> list[str]:
        """What is not for this host docker drops: refused before, nobody waits for an answer that does not come."""
        refused = f"-I {forward} -i {bridge} ! -o {bridge} {self.comment} -j REJECT"
        return [self.jump("INPUT", bridge), refused, "COMMIT"]

    def jump(self, chain: str, bridge: str) -> str:
        return f"-I {chain} -i {bridge} {self.comment} -j {bridge}"

    @property
    def comment(self) -> str:
        return f"-m comment --comment {MARK}{self.owner}"

    def remove(self, bridge: str) -> None:
        """Once the bridge is gone. Harmless where there are no rules of it."""
        if self.ipv4:
            remove(lambda found, _: found == bridge)


def usable() -> tuple[bool, bool, tuple[str, ...]]:
    """Whether rules for IPv4 and for IPv6 can be set, and what is missing where they cannot."""
    if os.geteuid() != 0:
        return False, False, (f"{MISSING_IPV4} (only root can set rules of the firewall)",)
    why = {program: refused(program) for program in ("iptables", "ip6tables")}
    texts = {"iptables": MISSING_IPV4, "ip6tables": MISSING_IPV6}
    missing = tuple(f"{texts[program]} ({reason})" for program, reason in why.items() if reason)
    return not why["iptables"], not why["ip6tables"], missing


def refused(program: str) -> str:
    """Empty where the program can list rules, else why not."""
    if shutil.which(program) is None:
        return f"{program} is not installed"
    try:
        listed = run([program, *WAIT, "-S", "INPUT"])
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program}: {error}"
    return f"{program}: {listed.stderr.strip()}" if listed.returncode else ""


def filtered(bridge: str, opening: Opening, unreachable: str) -> list[str]:
    """The chain's rules, which take the place of those that it has."""
    ports = [f"-A {bridge} -d {opening.gateway} -p tcp --dport {port} -j ACCEPT" for port in sorted(opening.ports)]
    return [
        "*filter",
        f":{bridge} - [0:0]",
        f"-A {bridge} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        *ports,
        f"-A {bridge} -p tcp -j REJECT --reject-with tcp-reset",
        f"-A {bridge} -j REJECT --reject-with {unreachable}",
    ]


def led(bridge: str, opening: Opening) -> list[str]:
    to = {address: f"{opening.gateway}:{port}" for address, port in opening.led.items()}
    rules = [f"-A {bridge} -d {host} -p tcp --dport {port} -j DNAT --to {at}" for (host, port), at in to.items()]
    return ["*nat", f":{bridge} - [0:0]", *rules, "COMMIT"]


def remove(whose: Callable[[str, str], bool]) -> None:
    """Removes the rules of bridges for which `whose(bridge, owner)` holds. Others may be doing the same."""
    for program, table in tables():
        for attempt in range(ATTEMPTS):
            lines = removal(rules(program, table), whose)
            if not lines:
                break
            try:
                restore(program, [f"*{table}", *lines, "COMMIT"])
            except InfrastructureError:
                # another one removed some of them since they were listed
                if attempt == ATTEMPTS - 1:
                    raise


def tables() -> Iterator[tuple[str, str]]:
    yield from (("iptables", "filter"), ("iptables", "nat"))
    if shutil.which("ip6tables") is not None:
        yield "ip6tables", "filter"


def removal(listed: list[str], whose: Callable[[str, str], bool]) -> list[str]:
    found = [(line, match[2]) for line in listed if (match := JUMP.match(line)) and whose(match[2], match[3])]
    bridges = {bridge for _, bridge in found if f"-N {bridge}" in listed}
    gone = [command for bridge in sorted(bridges) for command in (f"-F {bridge}", f"-X {bridge}")]
    return [f"-D{line.removeprefix('-A')}" for line, _ in found] + gone


def owners() -> dict[str, str]:
    """bridge -> owner, of all rules that there are; empty where they cannot be seen."""
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        return {}
    found = [JUMP.match(line) for program, table in tables() for line in rules(program, table)]
    return {match[2]: match[3] for match in found if match}


def rules(program: str, table: str) -> list[str]:
    listed = run([program, *WAIT, "-t", table, "-S"])
    return listed.stdout.splitlines() if listed.returncode == 0 else []


def restore(program: str, lines: list[str]) -> None:
    """One transaction. Raises InfrastructureError with the program's own words."""
    done = run([f"{program}-restore", *WAIT, "--noflush"], "\n".join(lines) + "\n")
    if done.returncode:
        raise InfrastructureError(
            f"the firewall's rules of containers could not be set: {done.stderr.strip()}",
            hint="iptables must work on this machine; `--sandbox process` needs none",
        )


def run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
