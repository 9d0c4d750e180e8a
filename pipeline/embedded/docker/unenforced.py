"""What containers of the engine that answers here would lack, before there is any."""

from __future__ import annotations

from pipeline.embedded.docker import firewall
from pipeline.embedded.docker.engine import connect
from pipeline.embedded.docker.measures import UNSEEN, Measures


def unenforced() -> tuple[str, ...]:
    """Raises InfrastructureError where no engine answers."""
    engine = connect()
    measures = Measures(engine)
    try:
        return (*engine.missing(), *firewall.usable()[2], *(() if measures.seen else (UNSEEN,)))
    finally:
        measures.close()
        engine.close()
