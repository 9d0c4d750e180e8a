"""URLs of objects signed for a run's own key: AWS Signature Version 4, as a query
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlencode

REGION = "us-east-1"
VALID_S = 900
ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Signer:
    """A key pair at a store that its user sees as `host` (host:port)."""

    host: str
    access_key: str
    secret_key: str = field(repr=False)

    @cached_property
    def days(self) -> dict[str, bytes]:
        """The key of a day, which is the same for every request of it."""
        return {}

    def target(self, method: str, path: str, also: str = "") -> str:
        """Path and query of one request, valid for some minutes from now. `also` is a parameter without a value."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        told = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": str(VALID_S),
            "X-Amz-SignedHeaders": "host",
        }
        query = urlencode(told, quote_via=quote, safe="") + (f"&{also}=" if also else "")
        asked = "\n".join((method, quote(path), query, f"host:{self.host}", "", "host", "UNSIGNED-PAYLOAD"))
        text = "\n".join((ALGORITHM, now, scope, hashlib.sha256(asked.encode()).hexdigest()))
        signature = hmac.new(self.key_of(now[:8]), text.encode(), hashlib.sha256).hexdigest()
        return f"{quote(path)}?{query}&X-Amz-Signature={signature}"

    def key_of(self, day: str) -> bytes:
        if day not in self.days:
            key = f"AWS4{self.secret_key}".encode()
            for part in (day, REGION, "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self.days[day] = key
        return self.days[day]
