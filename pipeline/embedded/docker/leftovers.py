"""What supervisors left that have ended: their containers, then their networks and rules.

    python -m pipeline.embedded.docker.leftovers

removes it, and again for some seconds: the engine may still be making what a killed supervisor had asked for.
"""

from __future__ import annotations

import time
from contextlib import suppress

import docker

from pipeline.embedded.docker import networks
from pipeline.embedded.docker.engine import ENGINE_ERRORS, connect
from pipeline.embedded.docker.owner import OWNER, alive
from pipeline.errors import PipelineError

PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)


def sweep(client: docker.DockerClient) -> list[str]:
    """Removes all that no living owner has; the names of what was removed. Raises ENGINE_ERRORS."""
    left = [name for name, owner in containers(client) if not alive(owner)]
    for name in left:
        with suppress(*ENGINE_ERRORS):  # another one may be removing it
            client.api.remove_container(name, force=True, v=True)
    return left + networks.sweep(client)


def containers(client: docker.DockerClient) -> list[tuple[str, str]]:
    """Names and owners of all containers that have one."""
    found = client.api.containers(all=True, filters={"label": [OWNER]})
    return [(str(one["Names"][0]).lstrip("/"), str(one["Labels"].get(OWNER, ""))) for one in found]


def main() -> None:
    for pause_s in PAUSES_S:
        time.sleep(pause_s)
        with suppress(PipelineError, *ENGINE_ERRORS):
            engine = connect()
            sweep(engine.client)
            engine.close()


if __name__ == "__main__":
    main()
