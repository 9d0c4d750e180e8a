"""Where the objects of a map-reduce lie, by what way its functions reach them, and what they are told.

Every name is known beforehand, so nothing is ever listed. A function gets URLs for single objects, those that it writes
under the name of its attempt: two attempts at once write different objects, and who was first is read from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pipeline.backends import Backends
from pipeline.backends.servers import ForwarderRequest
from pipeline.embedded.contract import Service
from pipeline.kinds.mapreduce import MapReduceJob
from pipeline.run import Run, done, job_of

MB = 2**20
ATTEMPTS = 3
TIMES = ATTEMPTS + 1
"""How often a function may move its bytes: each attempt, and a backup."""
REQUESTS = 200_000
MOST_SPANS = 1000
"""Runs that a reducer is told of; their URLs have to fit the megabyte of parameters."""
MOST_RUNS = 64
PART_BYTES = 4 * MB
SPARE_S = 3600.0
INPUT, SPILL, FETCH, OUTPUT = "mapreduce-input", "mapreduce-spill", "mapreduce-fetch", "mapreduce-output"
PORTS = {INPUT: 9000, SPILL: 9001, FETCH: 9000, OUTPUT: 9001}
Starts = Sequence[int]


@dataclass(frozen=True)
class Mapped:
    """What one mapper left: the attempt that counts, and where each bucket begins in each of its runs."""

    attempt: str
    runs: Sequence[Starts]


class Objects:
    """The objects of one run, all of the course's bucket."""

    def __init__(self, run: Run, backends: Backends) -> None:
        self.name = run.record.run
        self.job = job_of(run, MapReduceJob)
        self.servers = backends.servers
        self.bucket = backends.servers.course_bucket()
        self.valid = timedelta(seconds=done(run.record.checked, "check").assignment.limits.seconds + SPARE_S)
        self.addresses: dict[str, str] = {}

    def split(self, mapper: int) -> str:
        return f"mapreduce/{self.name}/split/{mapper}"

    def run(self, mapper: int, attempt: str, number: int) -> str:
        return f"mapreduce/{self.name}/run/{mapper}-{attempt}/{number}"

    def output(self, reducer: int, attempt: str, part: int) -> str:
        return f"mapreduce/{self.name}/output/{reducer}-{attempt}/{part}"

    @property
    def runs(self) -> int:
        """How many runs a mapper may spill."""
        return min(MOST_RUNS, MOST_SPANS // self.job.mappers)

    @property
    def parts(self) -> int:
        """How many parts a reducer's results may have: all may be one reducer's."""
        return -(-self.job.output_mb * MB // PART_BYTES) + 1

    def open_ways(self, actions: Mapping[str, str], input_bytes: int, begun: int) -> None:
        """A forwarder for each of the four ways of bytes, which are counted so; each action reaches its two.

        `begun`: how often the job was begun or gone on with, since what a stop lost is moved again.
        """
        stored, given = self.job.shuffle_mb * MB, self.job.output_mb * MB
        self.reach(actions["map"], begun, (INPUT, "GET", "split", input_bytes), (SPILL, "PUT", "run", stored))
        given += PART_BYTES
        self.reach(actions["reduce"], begun, (FETCH, "GET", "run", stored), (OUTPUT, "PUT", "output", given))

    def reach(self, action: str, begun: int, *ways: tuple[str, Literal["GET", "PUT"], str, int]) -> None:
        services = []
        for name, method, folder, size in ways:
            allowed = ((method, f"/{self.bucket.name}/mapreduce/{self.name}/{folder}/"),)
            moved = (size + MB) * TIMES * begun
            sent = moved if method == "PUT" else 0
            # answers to PUT have bodies too
            request = ForwarderRequest(name, "course", allowed, False, REQUESTS * begun, moved + REQUESTS * begun, sent)
            socket = self.servers.open_forwarder(request)
            services.append(Service(name=name, socket=socket, port=PORTS[name]))
        self.addresses |= self.servers.set_reach(action, services)

    def stored_bytes(self, attempts: Iterable[tuple[int, str]]) -> int:
        """The bytes of the runs that these attempts of mappers have left in the store."""
        folder = f"mapreduce/{self.name}/run/"
        wanted = {f"{folder}{mapper}-{attempt}" for mapper, attempt in attempts}
        return sum(size for key, size in self.bucket.sizes(folder).items() if key.rpartition("/")[0] in wanted)

    def url(self, way: str, key: str) -> str:
        method = "GET" if way in (INPUT, FETCH) else "PUT"
        return self.bucket.url(key, method=method, valid_for=self.valid, address=self.addresses[way])

    def for_map(self, mapper: int, size: int, attempt: str) -> dict[str, Any]:
        """The parameters of a mapper, whose split has `size` bytes."""
        runs = [{"url": self.url(SPILL, self.run(mapper, attempt, number))} for number in range(self.runs)]
        return {
            "source_url": self.url(INPUT, self.split(mapper)),
            "source_bytes": size,
            "runs": runs,
            "buckets": self.job.reducers,
            "buffer_mb": self.job.buffer_mb,
        }

    def for_reduce(self, reducer: int, mapped: Sequence[Mapped], attempt: str) -> dict[str, Any]:
        """The parameters of a reducer: its bucket of every run that has something in it."""
        sources = [
            {"url": self.url(FETCH, self.run(mapper, one.attempt, number)), "start": starts[reducer], "stop": stop}
            for mapper, one in enumerate(mapped)
            for number, starts in enumerate(one.runs)
            if (stop := starts[reducer + 1]) > starts[reducer]
        ]
        outputs = [{"url": self.url(OUTPUT, self.output(reducer, attempt, part))} for part in range(self.parts)]
        return {"sources": sources, "outputs": outputs, "buffer_mb": self.job.buffer_mb}
