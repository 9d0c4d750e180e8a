"""The task `train`: by a parameter server, or through the store alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner import store_worker, worker
from runner.elastic_worker import ElasticWorker


def main(params: Mapping[str, Any]) -> dict[str, Any]:
    """One worker's activation. Raises RunnerError."""
    if params.get("aggregation", "parameter-server") != "parameter-server":
        return store_worker.main(params)
    return worker.main(params, ElasticWorker if params.get("algorithm") == "easgd" else None)
