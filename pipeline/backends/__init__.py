"""The axes along which a run can be put onto other servers: images, functions, store, cluster, ci."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.backends.images import Images
from pipeline.backends.servers import Servers


@dataclass(frozen=True)
class Backends:
    """What the stages of one run work with. `servers` are started or attached to at their first use."""

    images: Images
    servers: Servers
