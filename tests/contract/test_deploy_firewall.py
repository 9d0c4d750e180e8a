"""deploy/openwhisk/firewall.sh with packets: a bridge, OpenWhisk's container and an action's, in network namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.deploy import DEPLOY

# on this host: a registry, anything else, a cloud's metadata, OpenWhisk's API in its container, what a run serves
SERVED = ("172.17.0.1:5000", "172.17.0.1:3300", "169.254.169.254:80", "172.17.0.2:3233", "10.20.0.5:31000")
SERVE = """
import socket, sys, threading
def answer(server):
    while True:
        server.accept()[0].close()
for place in sys.argv[1:]:
    host, port = place.split(":")
    threading.Thread(target=answer, args=(socket.create_server((host, int(port))),)).start()
"""
ASK = """
import socket, sys
def seen(place):
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), 10).close()
    except OSError:
        return "refused"
    return "open"
print(*map(seen, sys.argv[1:]))
"""
HOST = """
set -eu
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link set lo up
iptables -N DOCKER-USER
iptables -I FORWARD -j DOCKER-USER
ip link add docker0 type bridge
ip address add 172.17.0.1/16 dev docker0
ip link set docker0 up
for own in 10.20.0.5 169.254.169.254; do ip address add $own/32 dev lo; done
for number in 2 3; do
    name=c$number
    ip netns add $name
    ip link add v$number type veth peer name eth0 netns $name
    ip link set v$number master docker0
    ip link set v$number up
    ip -n $name address add 172.17.0.$number/16 dev eth0
    ip -n $name link set eth0 up
    ip -n $name route add default via 172.17.0.1
done
all_rules() { { iptables-save; ip6tables-save; } | grep '^-A' || true; }
action() { ip netns exec c3 "$python" -c "$ASK" $SERVED; }
server() { ip netns exec c2 "$python" -c "$ASK" 172.17.0.3:8080 172.17.0.1:5000; }

"$python" -c "$SERVE" 172.17.0.1:5000 0.0.0.0:3300 169.254.169.254:80 10.20.0.5:31000 & pids=$!
ip netns exec c2 "$python" -c "$SERVE" 172.17.0.2:3233 & pids="$pids $!"
ip netns exec c3 "$python" -c "$SERVE" 172.17.0.3:8080 & pids="$pids $!"
trap 'kill $pids' EXIT
tries=0
until [ "$(action; server)" = "$(printf 'open open open open open\\nopen open')" ]; do
    tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1
done
before=$(all_rules)
for again in 1 2; do sh "$firewall" up 172.17.0.2 10.20.0.5 31000-31099 || echo "up $?"; done
action
server
sh "$firewall" down
test "$before" = "$(all_rules)"
action
"""


def require() -> None:
    programs = ("unshare", "ip", "iptables", "ip6tables")
    if os.geteuid() != 0 or not all(shutil.which(name) for name in programs):
        pytest.skip(f"needs root and {', '.join(programs)}")
    if subprocess.run(["unshare", "-mn", "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")


@pytest.mark.root
def test_actions_reach_what_a_run_serves_them_and_nothing_else() -> None:
    """This machine's own rules and networks are not touched. Twice up is as once, and down leaves nothing."""
    require()
    given = {
        "python": shutil.which("python3") or "python3",
        "firewall": str(DEPLOY / "openwhisk" / "firewall.sh"),
        "SERVE": SERVE,
        "ASK": ASK,
        "SERVED": " ".join(SERVED),
    }
    done = subprocess.run(
        ["unshare", "-mn", "sh", "-c", HOST], capture_output=True, text=True, timeout=240, env=os.environ | given
    )
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()
    api = "refused" if bridged else "open"
    told = [] if bridged else ["up 1", "up 1"]  # it says that it cannot keep one container from another
    expected = [*told, f"refused refused refused {api} open", "open open", "open open open open open"]
    assert (done.returncode, done.stdout.splitlines()) == (0, expected), done.stderr
