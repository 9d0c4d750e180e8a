"""Users for containers: no two have the same, on the whole machine."""

from __future__ import annotations

import sys

import pytest

from pipeline.embedded.sandbox import users
from pipeline.embedded.sandbox.users import UNUSED, NoUserError, numbers_here, take_user

WHOLE = "         0          0 4294967295\n"
ROOTLESS = "         0       1000          1\n         1     100000      65536\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract Unix sockets and uid maps are Linux's")


def test_numbers_are_those_that_nobody_has() -> None:
    assert numbers_here(WHOLE) == UNUSED


def test_in_a_container_with_few_numbers_they_are_the_last_ones() -> None:
    few = numbers_here(ROOTLESS)
    assert len(few) > 1000
    assert 1000 <= few.start < few.stop <= 65_534


@linux
def test_a_user_is_held_until_it_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "numbers_here", lambda _: UNUSED[:2])
    one, other = take_user(), take_user()
    assert {one.number, other.number} == set(UNUSED[:2])
    with pytest.raises(NoUserError):
        take_user()
    one.free()
    again = take_user()
    assert again.number == one.number
    for user in (again, other):
        user.free()
