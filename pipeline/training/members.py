"""Who takes part: workers with their leases, shards with their progress. Not locked: its owner holds the lock."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipeline.training.refusal import RefusalError
from pipeline.training.server_settings import Grant, ServerSettings
from pipeline.training.shard_progress import Shard

Clock = Callable[[], float]


@dataclass
class Worker:
    """A registered worker. `session` is of this registration, so that a replaced worker's pushes are refused."""

    id: str
    session: str
    shard: Shard
    lease_until: float
    description: str = ""
    in_request: int = 0
    version: int = 0
    window: tuple[int, int] = field(default=(0, 0))


class Members:
    def __init__(self, settings: ServerSettings, clock: Clock = time.monotonic) -> None:
        self.settings = settings
        self.clock = clock
        self.grants = {grant.id: grant for grant in settings.grants}
        self.workers: dict[str, Worker] = {}
        self.shards: dict[int, Shard] = {number: Shard(number) for number in range(settings.shards)}
        self.started = False
        self.lost = 0

    def ordered(self) -> Iterator[Shard]:
        return (self.shards[number] for number in sorted(self.shards))

    def register(
        self, worker_id: str, token: str, session: str = "", description: str = "", wanted: int = -1
    ) -> Worker:
        """Lets a worker in, on its own shard, without grants on the one wanted where that is free.

        Raises RefusalError: 403 token, 409 taken, 503 full.
        """
        grant = self.admit(worker_id, token)
        present = self.workers.get(worker_id)
        if present and session and hmac.compare_digest(present.session, session):
            present.lease_until = self.clock() + self.settings.lease_s
            return present
        if present:
            worker_id = self.another_id(worker_id)
        if len(self.workers) >= self.settings.max_workers:
            raise RefusalError(503, "full", f"{len(self.workers)} workers are registered, as many as this server takes")
        shard = self.shard_for(worker_id, grant, wanted)
        lease = self.clock() + self.settings.lease_s
        worker = Worker(worker_id, secrets.token_hex(8), shard, lease, description)
        self.workers[worker_id] = worker
        shard.worker = shard.owner = worker_id
        shard.expected_until = 0.0
        shard.figures.registrations += 1
        self.level_clock(shard)
        self.expect_all()
        return worker

    def admit(self, worker_id: str, token: str) -> Grant | None:
        """The grant of a worker where the server has grants. Raises RefusalError 403 where the token is another."""
        if self.settings.open:
            return None
        grant = self.grants.get(worker_id)
        expected = grant.token if grant else self.settings.shared_token
        if expected is None or not hmac.compare_digest(expected.get_secret_value().encode(), token.encode()):
            raise RefusalError(403, "token", "the token is not one of this worker on this run")
        return grant

    def another_id(self, taken: str) -> str:
        if not self.settings.open:
            raise RefusalError(409, "taken", f"a worker with id {taken} is registered already")
        return next(str(number) for number in range(len(self.workers) + 1) if str(number) not in self.workers)

    def shard_for(self, worker_id: str, grant: Grant | None, wanted: int) -> Shard:
        """The grant's shard; else the one that this id had, the wanted one, one left behind, or a new one."""
        if grant:
            shard = self.shards.setdefault(grant.shard, Shard(grant.shard))
            if shard.worker:
                raise RefusalError(409, "taken", f"shard {shard.number} has worker {shard.worker} already")
            return shard
        free = [shard for shard in self.ordered() if shard.worker is None and not shard.accepted.finished]
        free.sort(key=lambda shard: (shard.owner != worker_id, shard.number != wanted))
        if free:
            return free[0]
        number = len(self.shards)
        if self.settings.shards or number >= 4096:
            raise RefusalError(409, "finished", "every shard of this run is finished or has a worker")
        return self.shards.setdefault(number, Shard(number))

    def level_clock(self, shard: Shard) -> None:
        """A shard that comes late starts level with the slowest, or bounded staleness would hold up the others."""
        others = [one.clock for one in self.shards.values() if one.worker and one is not shard]
        shard.clock = max(shard.clock, min(others, default=0))

    def expect_all(self) -> None:
        """At the first registration: barriers wait a bounded time for every shard of the run."""
        if self.started:
            return
        self.started = True
        for shard in self.shards.values():
            if shard.worker is None:
                shard.expected_until = self.clock() + self.settings.start_wait_s

    def find(self, worker_id: str, token: str, session: str) -> Worker:
        """The registered worker, its lease renewed. Raises RefusalError: 403 token, 409 session, 429 rate."""
        self.admit(worker_id, token)
        worker = self.workers.get(worker_id)
        if worker is None or not hmac.compare_digest(worker.session, session or worker.session):
            raise RefusalError(409, "session", f"worker {worker_id} is not registered, or another has taken its place")
        if not session and not self.settings.open:
            raise RefusalError(409, "session", "the request carries no session; registerWorker gives one")
        self.count(worker)
        worker.lease_until = self.clock() + self.settings.lease_s
        return worker

    def count(self, worker: Worker) -> None:
        second = int(self.clock())
        worker.window = (second, worker.window[1] + 1 if worker.window[0] == second else 1)
        if worker.window[1] > self.settings.requests_per_second:
            raise RefusalError(429, "rate", "more requests a second than a worker may send", retry_after_s=1)

    def remove(self, worker: Worker, *, returning: bool = False) -> None:
        """Takes a worker out. Barriers wait for its shard a bounded time only if it says that it will be back."""
        del self.workers[worker.id]
        worker.shard.worker = None
        worker.shard.expected_until = self.clock() + self.settings.start_wait_s if returning else 0.0

    def expire(self) -> list[str]:
        """Removes workers whose lease is over and who are in no request; their ids."""
        now = self.clock()
        dead = [one for one in self.workers.values() if one.lease_until < now and not one.in_request]
        for worker in dead:
            self.remove(worker)
        self.lost += len(dead)
        return [worker.id for worker in dead]

    def barrier(self) -> list[Shard]:
        now = self.clock()
        return [shard for shard in self.ordered() if shard.waited_for(now)]

    @property
    def all_finished(self) -> bool:
        return bool(self.shards) and all(shard.applied.finished for shard in self.shards.values())
