"""No object's key is the beginning of another's, `a` and `a/b`: refused before the store.

rclone would lose what lies below, and MinIO no longer lists it, so that nobody could see or count it.
"""

from __future__ import annotations

from typing import Protocol

from pipeline.embedded.s3_errors import Refusal

# codes and status are those of MinIO, which has had the same rule
UNDER_AN_OBJECT = Refusal(400, "XMinioParentIsObject", "a part of this key is an object's: no key begins another")
OVER_OBJECTS = Refusal(409, "XMinioObjectExistsAsDirectory", "objects lie below this key: no key begins another")


class Look(Protocol):
    async def holds(self, key: str) -> bool:
        """Whether there is this object. Raises OSError where the store does not say."""
        ...

    async def holds_below(self, key: str) -> bool:
        """Whether there are objects whose keys go on from this one. Raises OSError."""
        ...


class KeyOrder:
    """One bucket's. `above` are beginnings of keys that are known to be no objects, and can become none."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.above: set[str] = set()
        self.claimed: list[str] = []

    async def claim(self, key: str) -> Refusal | None:
        """Keeps the key for an object that is about to be put; `release` it when that has ended. Raises OSError."""
        beginnings = parents(key)
        for other in self.claimed:
            if other in beginnings:
                return UNDER_AN_OBJECT
            if key in parents(other):
                return OVER_OBJECTS
        self.claimed.append(key)  # before the store is asked: another request may come meanwhile
        try:
            refusal = await self.look_around(key, beginnings)
        except OSError:
            self.release(key)
            raise
        if refusal is not None:
            self.release(key)
        return refusal

    async def look_around(self, key: str, beginnings: list[str]) -> Refusal | None:
        for beginning in beginnings:
            if beginning not in self.above and await self.look.holds(beginning):
                return UNDER_AN_OBJECT
        if not key.endswith("/") and await self.look.holds_below(key):
            return OVER_OBJECTS
        self.above.update(beginnings)
        self.above.discard(key)
        return None

    def release(self, key: str) -> None:
        self.claimed.remove(key)


def parents(key: str) -> list[str]:
    """`a/b/c` -> `a`, `a/b`."""
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
