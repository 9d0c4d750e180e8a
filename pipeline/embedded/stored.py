"""How much lies in a bucket: bounded from above by what was sent, and measured where the bound says that it is full.

So a bucket is listed now and then only, whatever is replaced or deleted in it; and what was there before, or was put by
the course itself, counts too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from pipeline.embedded.contract import StoreKey

if TYPE_CHECKING:
    from minio import Minio

CONNECT_S, READ_S = 10, 60
REGION = "us-east-1"
Answer = TypeVar("Answer")


class Measure(Protocol):
    async def stored(self) -> int:
        """Bytes of all objects. Raises OSError where the store does not say."""
        ...

    async def size(self, key: str) -> int:
        """Bytes of one object, 0 where there is none. Raises OSError."""
        ...


@dataclass
class Reserved:
    """Room for one request. `upload` is the id of the upload of parts that it is for."""

    size: int
    upload: str = ""


class Quota:
    """At most `limit` bytes in a bucket, parts of unfinished uploads included."""

    def __init__(self, limit: int, measure: Measure) -> None:
        self.limit = limit
        self.measure = measure
        self.measured: int | None = None
        self.since = self.flying = 0
        self.parts: dict[str, int] = {}
        self.measuring = asyncio.Lock()

    @property
    def bound(self) -> int:
        return (self.measured or 0) + self.since + self.flying + sum(self.parts.values())

    async def reserve(self, size: int, upload: str = "") -> Reserved | None:
        """Room for `size` bytes more, to be settled; None where there is none. Raises OSError."""
        async with self.measuring:
            if self.measured is None or self.bound + size > self.limit:
                await self.measure_anew()
            if self.bound + size > self.limit:
                return None
            self.flying += size
            return Reserved(size, upload)

    async def measure_anew(self) -> None:
        """What ends while the store is asked may count twice until the next time, and never not at all."""
        before = self.since
        found = await self.measure.stored()
        self.measured, self.since = found, self.since - before

    async def copied(self, source: str) -> int:
        """Bytes of the object that a copy is made of. Raises OSError."""
        return await self.measure.size(unquote(source.partition("?")[0].lstrip("/").partition("/")[2]))

    def settle(self, reserved: Reserved, *, kept: bool) -> None:
        self.flying -= reserved.size
        if kept and reserved.upload:
            self.parts[reserved.upload] = self.parts.get(reserved.upload, 0) + reserved.size
        elif kept:
            self.since += reserved.size

    def completed(self, upload: str) -> None:
        self.since += self.parts.pop(upload, 0)

    def aborted(self, upload: str) -> None:
        self.parts.pop(upload, None)


@dataclass(frozen=True)
class BucketMeasure:
    """Asks a store at `url` with a key that opens the bucket."""

    url: str
    ca_file: Path | None
    key: StoreKey
    bucket: str

    async def stored(self) -> int:
        """Bytes of all objects. Raises OSError where the store does not say."""

        def ask(client: Minio) -> int:
            return sum(one.size or 0 for one in client.list_objects(self.bucket, recursive=True))

        return await asyncio.to_thread(self.answer, ask)

    async def size(self, key: str) -> int:
        """Bytes of one object, 0 where there is none. Raises OSError."""

        def ask(client: Minio) -> int:
            found = client.list_objects(self.bucket, prefix=key, recursive=True)
            return next((one.size or 0 for one in found if one.object_name == key), 0)

        return await asyncio.to_thread(self.answer, ask)

    def answer(self, ask: Callable[[Minio], Answer]) -> Answer:
        import urllib3  # servers start sooner without
        from minio import Minio
        from minio.error import MinioException

        wait = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        certificates = None if self.ca_file is None else str(self.ca_file)
        with urllib3.PoolManager(timeout=wait, retries=2, ca_certs=certificates) as pool:
            place, key = urlsplit(self.url), self.key
            client = Minio(
                place.netloc,
                key.access_key,
                key.secret_key,
                session_token=key.session_token or None,
                secure=place.scheme == "https",
                region=REGION,
                http_client=pool,
            )
            try:
                return ask(client)
            except (MinioException, urllib3.exceptions.HTTPError) as error:
                raise OSError(f"the store does not say what it holds: {error}") from error
