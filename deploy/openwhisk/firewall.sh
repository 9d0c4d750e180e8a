#!/bin/sh
# Keeps OpenWhisk's actions from all but what a run serves them: `firewall.sh up SERVER ADVERTISE PORTS`, `firewall.sh down`.
#   SERVER     address of OpenWhisk's own container: docker inspect -f '{{.NetworkSettings.IPAddress}}' openwhisk
#   ADVERTISE  the course's `servers.advertise`, PORTS its `servers.ports` (31000-31099)
# Actions are on docker's bridge (BRIDGE, docker0) and would reach OpenWhisk's API, the registry, the metadata address of a
# cloud, and whatever this machine serves. Whatever else is on that bridge, `docker build` too, is cut off with them.
# Run it as root after docker has started: docker makes the chain DOCKER-USER and keeps what is in it.
set -eu
bridge=${BRIDGE:-docker0}
chain=OPENWHISK

rules() {
    command=$1
    shift
    "$command" -w "$@"
}

take_down() {
    for parent in INPUT DOCKER-USER; do
        while rules "$1" -D "$parent" -i "$bridge" -j "$chain" 2>/dev/null; do :; done
    done
    rules "$1" -F "$chain" 2>/dev/null || true
    rules "$1" -X "$chain" 2>/dev/null || true
}

put_up() {
    rules iptables -N "$chain"
    rules iptables -A "$chain" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
    # its own server reaches its actions, and what it needs
    rules iptables -A "$chain" -s "$1" -j RETURN
    rules iptables -A "$chain" -p tcp -d "$2" -m multiport --dports "$(echo "$3" | tr - :)" -j RETURN
    rules iptables -A "$chain" -p tcp -j REJECT --reject-with tcp-reset
    rules iptables -A "$chain" -j DROP
    for parent in INPUT DOCKER-USER; do
        rules iptables -I "$parent" 1 -i "$bridge" -j "$chain"
    done
    if [ -e /proc/net/if_inet6 ]; then
        rules ip6tables -N "$chain"
        rules ip6tables -A "$chain" -j DROP
        rules ip6tables -I INPUT 1 -i "$bridge" -j "$chain"
    fi
    # without it what one container sends another on the same bridge passes no rule
    if [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || echo 0)" != 1 ]; then
        echo "firewall: containers of $bridge still reach each other, OpenWhisk's API too:" \
            "modprobe br_netfilter; sysctl net.bridge.bridge-nf-call-iptables=1" >&2
        exit 1
    fi
}

case ${1:-} in
up)
    [ $# = 4 ] || { echo 'usage: firewall.sh up SERVER ADVERTISE FIRST-LAST' >&2; exit 2; }
    take_down iptables
    take_down ip6tables
    put_up "$2" "$3" "$4"
    ;;
down)
    take_down iptables
    take_down ip6tables
    ;;
*)
    echo 'usage: firewall.sh up SERVER ADVERTISE FIRST-LAST | down' >&2
    exit 2
    ;;
esac
