"""What only the coordinator asks: status, scores, the end. On a Unix socket that no student's process reaches."""

from __future__ import annotations

import hmac
import math
from typing import Any

from flask import Flask, Response, jsonify, request

from pipeline.training.checkpoints import FINAL, INITIAL
from pipeline.training.core import ParameterServer
from pipeline.training.members import Worker
from pipeline.training.refusal import RefusalError
from pipeline.training.shard_progress import Shard
from pipeline.training.worker_routes import add_error_handlers, reply


def make_control_app(server: ParameterServer) -> Flask:
    app = Flask("parameter-server-control", static_folder=None)

    def status() -> Response:
        since = request.args.get("losses_since", -1, type=int)
        with server.changed:
            return jsonify(describe(server, since))

    def score() -> Response:
        asked = request.get_json(silent=True)
        accuracy, version = (asked.get("accuracy"), asked.get("version")) if isinstance(asked, dict) else (None, None)
        if not isinstance(accuracy, int | float) or not math.isfinite(accuracy) or not isinstance(version, int):
            raise RefusalError(400, "format", "a score has accuracy, a number, and version, a whole number")
        with server.changed:
            server.score = (float(accuracy), version)
        return reply(200, "kept")

    def lost() -> Response:
        """A worker or a shard whose activation has ended: its place is free at once."""
        asked = request.get_json(silent=True) or {}
        with server.changed:
            gone = [one for one in server.members.workers.values() if is_meant(one, asked)]
            for worker in gone:
                server.members.remove(worker)
            server.update_when_due()
            server.changed.notify_all()
        return reply(200, f"{len(gone)} workers removed", removed=[one.id for one in gone])

    def absent() -> Response:
        """A shard whose worker waits for room: barriers go on without it until it comes."""
        asked = request.get_json(silent=True) or {}
        with server.changed:
            for shard in server.members.shards.values():
                if shard.number == asked.get("shard") and shard.worker is None:
                    shard.expected_until = 0.0
            server.update_when_due()
            server.changed.notify_all()
        return reply(200, "not waited for")

    def checkpoint() -> Response:
        last = server.snapshot()
        server.writer.now(last)
        return reply(200, "durable", version=last.version)

    def finish() -> Response:
        version = server.finish()
        return reply(200, "finished", version=version, initial=INITIAL, final=FINAL)

    app.add_url_rule("/control/status", view_func=status)
    for view in (score, lost, absent, checkpoint, finish):
        app.add_url_rule(f"/control/{view.__name__}", view_func=view, methods=["POST"])
    add_error_handlers(app, server)
    return app


def is_meant(worker: Worker, asked: dict[str, Any]) -> bool:
    name = asked.get("worker")
    by_name = isinstance(name, str) and hmac.compare_digest(worker.id.encode(), name.encode())
    return by_name or worker.shard.number == asked.get("shard")


def describe(server: ParameterServer, losses_since: int) -> dict[str, Any]:
    """Everything that the coordinator follows a training by. The caller holds the lock. Times in seconds."""
    members, writer = server.members, server.writer
    return {
        "version": server.version,
        "finished": server.ended or (bool(server.settings.shards) and members.all_finished),
        "ended": server.ended,
        "elapsed_s": server.elapsed,
        "global_step": server.global_step,
        "parameters": server.model is not None,
        "losses": [(version, seconds, loss) for version, loss, _, seconds in server.history.since(losses_since)],
        "score": server.score,
        "checkpoint_version": writer.durable_version,
        "checkpoint_error": writer.error,
        "refused": server.refused,
        "leases_lost": members.lost,
        "workers": [
            {
                "id": worker.id,
                "shard": worker.shard.number,
                "description": worker.description,
                "lease_s": worker.lease_until - members.clock(),
                "in_request": worker.in_request,
            }
            for worker in members.workers.values()
        ],
        "shards": [describe_shard(server, shard) for shard in members.ordered()],
    }


def describe_shard(server: ParameterServer, shard: Shard) -> dict[str, Any]:
    """Bytes are of bodies, as the worker sent and received them; `wait_s` is measured here too."""
    figures, applied = shard.figures, shard.applied
    return {
        "shard": shard.number,
        "worker": shard.worker,
        "registered": shard.worker is not None,
        "expected": shard.worker is None and shard.waited_for(server.members.clock()),
        "complete": shard.accepted.finished,
        "finished": applied.finished,
        "epoch": applied.position.epoch,
        "step": applied.position.step,
        "steps": applied.steps,
        "samples": applied.samples,
        "sequence": applied.sequence,
        "pending": shard.pending.count if shard.pending else 0,
        "loss": figures.loss,
        "bytes_sent": figures.bytes_sent,
        "bytes_received": figures.bytes_received,
        "wait_s": figures.wait_s,
        "compute_s": figures.compute_s,
        "communication_s": figures.communication_s,
        "registrations": figures.registrations,
        "refused": figures.refused,
    }
