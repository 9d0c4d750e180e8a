"""How much lies in a bucket: bounded from above by what was sent, and measured where the bound says that it is full.

So a bucket is listed now and then only, whatever is replaced or deleted in it; and what was there before, or was put by
the course itself, counts too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from pipeline.embedded.contract import StoreKey

if TYPE_CHECKING:
    from minio import Minio

CONNECT_S, READ_S = 10, 60
REGION = "us-east-1"
ABSENT = {"NoSuchKey", "ResourceNotFound"}
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
    """At most `limit` bytes in a bucket, parts of unfinished uploads included; none: as many as come."""

    def __init__(self, limit: int | None, measure: Measure) -> None:
        self.limit = limit
        self.measure = measure
        self.measured: int | None = None
        self.since = self.flying = 0
        self.parts: dict[str, int] = {}
        self.measuring = asyncio.Lock()

    @property
    def bound(self) -> int:
        return (self.measured or 0) + self.since + self.flying + sum(self.parts.values())

    async def reserve(self, path: str, size: int, upload: str = "") -> Reserved | None:
        """Room for `size` bytes at a path, in the place of what is there; to be settled. None where there is none.

        Raises OSError.
        """
        async with self.measuring:
            if self.limit is not None and not await self.fits(path, size, upload, self.limit):
                return None
            self.flying += size
            return Reserved(size, upload)

    async def fits(self, path: str, size: int, upload: str, limit: int) -> bool:
        if self.measured is None or self.bound + size > limit:
            await self.measure_anew()
        if self.bound + size <= limit:
            return True
        replaced = 0 if upload else await self.size_of(path)
        return self.bound - replaced + size <= limit

    async def measure_anew(self) -> None:
        """What ends while the store is asked may count twice until the next time, and never not at all."""
        before = self.since
        found = await self.measure.stored()
        self.measured, self.since = found, self.since - before

    async def size_of(self, path: str) -> int:
        """Bytes of the object at `path`, as a request names it; 0 where there is none. Raises OSError."""
        return await self.measure.size(unquote(path.partition("?")[0].lstrip("/").partition("/")[2]))

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
        def ask(client: Minio) -> int:
            return sum(one.size or 0 for one in client.list_objects(self.bucket, recursive=True))

        return await self.answer(ask)

    async def size(self, key: str) -> int:
        return await self.stat(key) or 0

    async def holds(self, key: str) -> bool:
        return await self.stat(key) is not None

    async def holds_below(self, key: str) -> bool:
        def ask(client: Minio) -> bool:
            return any(client.list_objects(self.bucket, prefix=f"{key.rstrip('/')}/", recursive=True))

        return await self.answer(ask)

    async def stat(self, key: str) -> int | None:
        """Bytes of one object; None where there is none."""

        def ask(client: Minio) -> int | None:
            from minio.error import S3Error

            try:
                return client.stat_object(self.bucket, key).size
            except S3Error as error:
                if error.code in ABSENT:
                    return None
                raise

        return await self.answer(ask)

    async def answer(self, ask: Callable[[Minio], Answer]) -> Answer:
        """Raises OSError where the store does not say."""
        return await asyncio.to_thread(self.answer_here, ask)

    def answer_here(self, ask: Callable[[Minio], Answer]) -> Answer:
        import urllib3
        from minio.error import MinioException

        try:
            return ask(self.client)
        except (MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise OSError(f"the store does not say what it holds: {error}") from error

    @cached_property
    def client(self) -> Minio:
        import urllib3  # servers start sooner without
        from minio import Minio

        wait = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        certificates = None if self.ca_file is None else str(self.ca_file)
        place, key = urlsplit(self.url), self.key
        return Minio(
            place.netloc,
            key.access_key,
            key.secret_key,
            session_token=key.session_token or None,
            secure=place.scheme == "https",
            region=REGION,
            http_client=urllib3.PoolManager(timeout=wait, retries=2, ca_certs=certificates),
        )
