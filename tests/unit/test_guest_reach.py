"""What actions of `pipeline serve` reach: read strictly, each on a port that can be had inside."""

from __future__ import annotations

import pytest

from pipeline.embedded.contract import EVERY_ACTION
from pipeline.embedded.guest import guest_reach, inside_ports, named, target_fault


@pytest.mark.parametrize("text", ["db.example:5432", "192.0.2.10:80", "localhost:1", "a:65535"])
def test_targets_that_can_be_named(text: str) -> None:
    assert target_fault(text) == ""


WITHOUT_PORT = ("db", ":80", "db:", "db:0", "db:65536", "a:80\n", "a:٨٠", "")
WITHOUT_HOST = ("http://db:80", "db:80/x", "300.1.1.1:80", "[::1]:80", "-a:80", "a b:80")


@pytest.mark.parametrize("text", [*WITHOUT_PORT, *WITHOUT_HOST])
def test_targets_that_cannot(text: str) -> None:
    assert target_fault(text) != ""


def test_ports_are_kept_where_they_can_be_and_never_shared() -> None:
    assert inside_ports([3233, 9000, 443, 9000, 20_000, 80]) == [3233, 9000, 20_000, 20_001, 20_002, 20_003]
    assert inside_ports([20_000, 443]) == [20_000, 20_001]


def test_the_reach_is_of_every_action_and_its_addresses_have_the_names_that_staff_gave() -> None:
    further = ("db.example:5432", "192.0.2.1:443")
    reach = guest_reach("guest", "127.0.0.1:3233", "127.0.0.1:9000", further)
    assert (reach.namespace, reach.action) == ("guest", EVERY_ACTION)
    assert [one.target for one in reach.services] == ["127.0.0.1:3233", "127.0.0.1:9000", *further]
    addresses = {one.name: f"inside:{one.port}" for one in reach.services}
    assert named(addresses, further) == {
        "openwhisk": "inside:3233",
        "store": "inside:9000",
        "db.example:5432": "inside:5432",
        "192.0.2.1:443": "inside:20000",
    }
