"""Invocations on a server of OpenWhisk's API: cold, warm one after another, warm by several clients at once.

    python -m benchmarks.openwhisk --apihost http://HOST:PORT --auth-file FILE [--image probe:1]
    python -m benchmarks.openwhisk --servers servers.json        (the --ready-file of `pipeline serve`)

The image is that of tests/openwhisk/probe, or any that answers /init and /run. Where this machine has a docker engine
with that image, a cold start is compared with a bare `docker run -d` of it until its port accepts, and a warm call with
a POST to such a container itself, in turns. FILE holds `uuid:key` in one line. Only ratios of one run mean something on
a shared machine.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import socket
import statistics
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACTION = "benchmark"
ARGUMENTS = {"mode": "count"}
PATIENCE_S = 60.0
BETWEEN_S = 0.002
TURN = 10
SETTLED_S = 2.5
"""By then the action's former container is gone, another network is held ready, and neither takes a start's time."""
REMOVAL_S = 2.0


@dataclass(frozen=True)
class Server:
    apihost: str
    auth: str

    def connection(self) -> http.client.HTTPConnection:
        host = urllib.parse.urlsplit(self.apihost)
        kind = http.client.HTTPSConnection if host.scheme == "https" else http.client.HTTPConnection
        return kind(host.hostname or "", host.port, timeout=120)

    def ask(self, method: str, query: str, body: Any = None, connection: Any = None) -> tuple[float, int]:
        """Milliseconds that the exchange took, and its status."""
        key = base64.b64encode(self.auth.encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        connection = connection or self.connection()
        begun = time.perf_counter()
        connection.request(method, f"/api/v1/namespaces/_/actions/{ACTION}{query}", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return (time.perf_counter() - begun) * 1000, answer.status

    def renew(self, image: str) -> None:
        """Makes the action anew, so that the next call starts a container."""
        body = {"exec": {"kind": "blackbox", "image": image}, "limits": {"memory": 128}}
        _, status = self.ask("PUT", "?overwrite=true", body)
        if status != 200:
            raise SystemExit(f"{self.apihost} refuses the action with {status}")

    def calls(self, count: int) -> list[float]:
        """Milliseconds of blocking calls, one after another, on one connection."""
        connection, found = self.connection(), []
        for _ in range(count):
            took, status = self.ask("POST", "?blocking=true&result=true", ARGUMENTS, connection)
            if status != 200:
                raise SystemExit(f"a call ended with {status}")
            found.append(took)
            time.sleep(BETWEEN_S)
        return found


def quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):6.1f} ms (median), {ordered[int(0.95 * (len(ordered) - 1))]:6.1f} ms (95 %)"


@contextmanager
def bare_container(image: str) -> Iterator[tuple[str, float]]:
    """`docker run -d` of the image: its address, and milliseconds until port 8080 accepted."""
    begun = time.perf_counter()
    run = ["docker", "run", "-d", "--label", "benchmark", image]
    container = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    try:
        show = ["docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", container]
        address = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
        until_accepted(address, begun + PATIENCE_S)
        yield address, (time.perf_counter() - begun) * 1000
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True, check=False)


def bare_call_ms(address: str) -> float:
    """A POST of /run to a container itself, each on a connection of its own: what no server can be faster than."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(address, 8080, timeout=60)
    connection.request("POST", "/run", json.dumps({"value": ARGUMENTS}), {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()
    return (time.perf_counter() - begun) * 1000


def until_accepted(address: str, end: float) -> None:
    while time.perf_counter() < end:
        with suppress(OSError):
            socket.create_connection((address, 8080), timeout=1).close()
            return
        time.sleep(0.005)
    raise SystemExit(f"{address}:8080 accepts no connection")


def has_image(image: str) -> bool:
    with suppress(OSError):
        return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0
    return False


@contextmanager
def measured(server: Server, image: str) -> Iterator[None]:
    server.renew(image)
    try:
        yield
    finally:
        server.ask("DELETE", "")


def cold(server: Server, image: str, starts: int) -> None:
    """Cold and bare starts in turns, so that both meet the same machine."""
    bare, ours = [], []
    for _ in range(starts):
        if has_image(image):
            time.sleep(SETTLED_S)
            with bare_container(image) as (_, took):
                bare.append(took)
        server.renew(image)
        time.sleep(SETTLED_S)
        ours += server.calls(1)
    print(f"cold start           {quantiles(ours)}{compared(ours, bare)}")
    if bare:
        print(f"bare docker run -d   {quantiles(bare)}")


def warm(server: Server, image: str, calls: int) -> None:
    """Calls of the server and of a bare container in turns."""
    server.calls(20)
    if not has_image(image):
        print(f"warm                 {quantiles(server.calls(calls))}")
        return
    bare, ours = [], []
    with bare_container(image) as (address, _):
        for _ in range(calls // TURN):
            bare += [bare_call_ms(address) for _ in range(TURN)]
            ours += server.calls(TURN)
    print(f"warm                 {quantiles(ours)}{compared(ours, bare)}")
    print(f"bare POST /run       {quantiles(bare)}")


def together(server: Server, calls: int, clients: int) -> None:
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [one for each in pool.map(server.calls, [calls // 2] * clients) for one in each]
    rate = len(times) / (time.perf_counter() - begun)
    print(f"{clients} clients at once    {quantiles(times)}; {rate:.0f} calls a second")


def compared(ours: list[float], bare: list[float]) -> str:
    return f"; {statistics.median(ours) / statistics.median(bare):.2f} times the bare one" if bare else ""


def asked_server(options: argparse.Namespace) -> Server:
    if options.servers:
        told = json.loads(options.servers.read_text())["openwhisk"]
        return Server(told["apihost"], told["auth"])
    if not (options.apihost and options.auth_file):
        raise SystemExit("name --servers FILE, or --apihost URL and --auth-file FILE")
    return Server(options.apihost, options.auth_file.read_text().strip())


def main() -> None:
    parser = argparse.ArgumentParser(description="invocations on a server of OpenWhisk's API")
    parser.add_argument("--servers", type=Path, help="the --ready-file of `pipeline serve`")
    parser.add_argument("--apihost")
    parser.add_argument("--auth-file", type=Path)
    parser.add_argument("--image", default="probe:1")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    server = asked_server(options)
    with measured(server, options.image):
        cold(server, options.image, options.starts)
        warm(server, options.image, options.calls)
        together(server, options.calls, options.clients)


if __name__ == "__main__":
    main()
