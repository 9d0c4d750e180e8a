"""What is asked before anything is put into a run's bucket by a student's program, and noted after it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from pipeline.embedded.key_order import KeyOrder
from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.store_rules import Asked
from pipeline.embedded.stored import BucketMeasure, Quota, Reserved

FAULT = 500


@dataclass(frozen=True)
class Admitted:
    """What a request may do, and what is to be noted of it."""

    key: str = ""
    reserved: Reserved | None = None
    completes: str = ""
    aborts: str = ""


class BucketGuard:
    """Keys in order, and at most `limit` bytes; no limit where there is none."""

    def __init__(self, measure: BucketMeasure, limit: int | None) -> None:
        self.order = KeyOrder(measure)
        self.quota = Quota(limit, measure)

    def renew(self, measure: BucketMeasure, limit: int | None) -> None:
        """Another key to ask with, another limit; what is known stays known."""
        self.order.look = self.quota.measure = measure
        self.quota.limit = limit

    async def admit(self, asked: Asked, length: int, upload: str) -> Admitted | Refusal:
        """`upload` is the id of the upload of parts that is meant. Raises OSError where the store does not answer."""
        key = unquote(asked.path).lstrip("/").partition("/")[2]
        if asked.method == "DELETE":
            return Admitted(aborts=upload)
        if asked.method not in {"PUT", "POST"} or not key:
            return Admitted()
        part = asked.method == "PUT" and bool(upload)
        refusal = None if part else await self.order.claim(key)
        if refusal is not None:
            return refusal
        reserved: Reserved | None = None
        try:
            if asked.method == "PUT":
                size = length + (await self.quota.size_of(asked.source) if asked.source else 0)
                reserved = await self.quota.reserve(asked.path, size, upload)
        finally:
            if reserved is None and asked.method == "PUT" and not part:
                self.order.release(key)
        if asked.method == "PUT" and reserved is None:
            return full(self.quota)
        return Admitted("" if part else key, reserved, completes=upload if asked.method == "POST" else "")

    def ended(self, admitted: Admitted, status: int) -> None:
        """`status` of the store's answer, 0 where there was none: then, as after a fault, it may be done."""
        done = status < 300
        if admitted.key:
            self.order.release(admitted.key)
        if admitted.reserved is not None:
            self.quota.settle(admitted.reserved, kept=done or status >= FAULT)
        if admitted.completes and done:
            self.quota.completed(admitted.completes)
        if admitted.aborts and done and status:
            self.quota.aborted(admitted.aborts)


def full(quota: Quota) -> Refusal:
    return Refusal(
        403, "QuotaExceeded", f"the run's bucket holds {quota.bound} bytes and may hold {quota.limit}: remove objects"
    )
