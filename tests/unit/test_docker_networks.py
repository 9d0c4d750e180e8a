"""Networks cut from a pool, and the firewall's rules as text: what needs neither an engine nor root."""

from __future__ import annotations

import ipaddress

import pytest

from pipeline.embedded.docker.firewall import Opening, filtered, led, removal
from pipeline.embedded.docker.subnets import candidates, pool_of
from pipeline.errors import CourseError

LISTED = """\
-P INPUT ACCEPT
-N DOCKER
-N plr-0a1b2c3d
-N plr-ffffffff
-A INPUT -i plr-0a1b2c3d -m comment --comment "ml-pipeline:12:34.50" -j plr-0a1b2c3d
-A INPUT -i plr-ffffffff -m comment --comment "ml-pipeline:99:34.50" -j plr-ffffffff
-A DOCKER-USER -i plr-0a1b2c3d ! -o plr-0a1b2c3d -m comment --comment "ml-pipeline:12:34.50" -j REJECT
-A plr-0a1b2c3d -p tcp -j REJECT --reject-with tcp-reset
-A INPUT -i plr-0a1b2c3d -j ACCEPT
"""


@pytest.mark.parametrize(
    ("containers", "prefix"), [(1, 28), (12, 28), (13, 27), (16, 27), (28, 27), (29, 26), (64, 25)]
)
def test_a_network_has_room_for_its_containers(containers: int, prefix: int) -> None:
    assert pool_of("10.213.0.0/16", containers)[1] == prefix


@pytest.mark.parametrize("pool", ["10.213.0.0/29", "10.213.0.1/16", "fd00::/64", "anything", ""])
def test_a_pool_that_cannot_be_is_the_course_s_fault(pool: str) -> None:
    with pytest.raises(CourseError) as refused:
        pool_of(pool, 12)
    assert "networks" in refused.value.message and refused.value.hint


def test_each_network_of_the_pool_is_tried_once_but_those_that_are_taken() -> None:
    pool = ipaddress.IPv4Network("10.213.0.0/24")
    taken = [ipaddress.IPv4Network(one) for one in ("10.213.0.16/28", "10.213.0.128/25", "172.17.0.0/16")]
    tried = list(candidates(pool, 28, taken))
    assert sorted(tried) == [one for one in pool.subnets(new_prefix=28) if not any(one.overlaps(two) for two in taken)]
    assert list(candidates(pool, 28, [ipaddress.IPv4Network("10.0.0.0/8")])) == []


def test_all_but_our_own_ports_is_refused_and_nothing_comes_after_that() -> None:
    rules = filtered("plr-1", Opening("10.213.0.1", frozenset({9000, 8000})), "icmp-port-unreachable")
    assert rules == [
        "*filter",
        ":plr-1 - [0:0]",
        "-A plr-1 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A plr-1 -d 10.213.0.1 -p tcp --dport 8000 -j ACCEPT",
        "-A plr-1 -d 10.213.0.1 -p tcp --dport 9000 -j ACCEPT",
        "-A plr-1 -p tcp -j REJECT --reject-with tcp-reset",
        "-A plr-1 -j REJECT --reject-with icmp-port-unreachable",
    ]


def test_an_address_that_staff_named_leads_to_our_listener() -> None:
    opening = Opening("10.213.0.1", frozenset({20_000}), {("192.0.2.1", 443): 20_000})
    assert led("plr-1", opening)[2] == "-A plr-1 -d 192.0.2.1 -p tcp --dport 443 -j DNAT --to 10.213.0.1:20000"


def test_only_rules_of_ours_are_removed() -> None:
    assert removal(LISTED.splitlines(), lambda _, owner: owner == "12:34.50") == [
        '-D INPUT -i plr-0a1b2c3d -m comment --comment "ml-pipeline:12:34.50" -j plr-0a1b2c3d',
        '-D DOCKER-USER -i plr-0a1b2c3d ! -o plr-0a1b2c3d -m comment --comment "ml-pipeline:12:34.50" -j REJECT',
        "-F plr-0a1b2c3d",
        "-X plr-0a1b2c3d",
    ]
