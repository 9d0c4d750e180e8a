"""The kind `train`: workers, between them a parameter server or the store, then predictions with what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.backends.servers import ForwarderRequest
from pipeline.calling.hostload import HostLoad
from pipeline.embedded.contract import Service
from pipeline.errors import PipelineError
from pipeline.listener import Listener, StageLog
from pipeline.planned_actions import planned_actions
from pipeline.run import Executed, Run
from pipeline.training.collecting import FORWARDER, collect_training
from pipeline.training.coordinator import Coordinator
from pipeline.training.execution import Memory, WorkerState, new_token
from pipeline.training.material import checked, prepare
from pipeline.training.prediction import STORE_PORT, Predictor, planned
from pipeline.training.server_process import ServerProcess, release
from pipeline.training.through_store import StoreTraining

SERVER_PORT = 29500
FORWARDED_BYTES = 4 * 2**30
FORWARDED_REQUESTS = 100_000


class Train:
    """Training by several workers."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        memory = Memory(run)
        servers = backends.servers
        servers.cancel()  # whatever a killed coordinator left running has nobody to answer
        log("data: shards for the workers, inputs for the predictions")
        prepare(run, memory, servers.run_bucket(), servers.course_bucket())
        train_action, predict_action = planned_actions(run)
        if not memory.state.trained:
            with HostLoad() as load:
                versions = self.train(run, backends, memory, train_action, log, listener)
            memory.update(
                trained=True,
                host_cpu_percent=load.percent,
                predictions=planned(run.record.run, versions, tuple(memory.state.input_keys)),
            )
        _, job = checked(run)
        predictions = memory.state.predictions
        log(f"predictions: {len(predictions)} in {len({one.group for one in predictions})} containers")
        Predictor(run, memory, servers, predict_action, job, log).predict()
        run.update(executed=executed(memory))

    def train(
        self, run: Run, backends: Backends, memory: Memory, action: Action, log: StageLog, listener: Listener
    ) -> list[tuple[str, int, str]]:
        """Trains to the end; (name, version, key of the parameters) of what is to be scored."""
        _, job = checked(run)
        restart_workers(memory, job.workers)
        way = self.without_server if job.through_store else self.by_server
        return way(run, backends, memory, action, log, listener)

    def by_server(
        self, run: Run, backends: Backends, memory: Memory, action: Action, log: StageLog, listener: Listener
    ) -> list[tuple[str, int, str]]:
        assignment, _ = checked(run)
        servers = backends.servers
        with ServerProcess(run, memory, servers.course_access()) as server:
            addresses = servers.set_reach(action.name, self.services(backends, server))
            coordinator = Coordinator(
                memory,
                servers.functions(),
                action.name,
                assignment.limits,
                parameters=lambda worker: self.parameters(run, backends, memory, worker, addresses),
                status=server.status,
                lost=lambda worker: server.lost(worker.number),
                absent=lambda worker: server.absent(worker.number),
                pool=servers.pool,
                listener=listener,
                log=log,
            )
            coordinator.train()
            return server.versions()

    def without_server(
        self, run: Run, backends: Backends, memory: Memory, action: Action, log: StageLog, listener: Listener
    ) -> list[tuple[str, int, str]]:
        """A worker that is lost or absent is waited for by the others: nobody has to be told."""
        servers = backends.servers
        training = StoreTraining(run, backends, memory)
        training.open(action.name)
        coordinator = Coordinator(
            memory,
            servers.functions(),
            action.name,
            training.assignment.limits,
            parameters=training.parameters,
            status=training.status,
            lost=lambda _: None,
            absent=lambda _: None,
            pool=servers.pool,
            listener=listener,
            log=log,
        )
        try:
            coordinator.train()
        except BaseException:
            with suppress(PipelineError, OSError):  # what went wrong first is what is told
                memory.update(status=training.status())
            raise
        memory.update(status=training.status())
        return training.versions()

    def services(self, backends: Backends, server: ServerProcess) -> list[Service]:
        """What the workers reach: their parameter server, and the run's bucket through the forwarder."""
        bucket = backends.servers.run_bucket().name
        request = ForwarderRequest(
            FORWARDER,
            "run",
            (("GET", f"/{bucket}/"), ("HEAD", f"/{bucket}/")),
            False,
            requests=FORWARDED_REQUESTS,
            bytes_total=FORWARDED_BYTES,
            bytes_sent=0,
        )
        return [
            Service(name="parameter-server", socket=server.socket, port=SERVER_PORT),
            Service(name="store", socket=backends.servers.open_forwarder(request), port=STORE_PORT),
        ]

    def parameters(
        self, run: Run, backends: Backends, memory: Memory, worker: WorkerState, addresses: Mapping[str, str]
    ) -> dict[str, Any]:
        """The parameters that the course has always used, and the run's own; URLs are fresh at each invocation."""
        assignment, job = checked(run)
        url = backends.servers.run_bucket().url(
            memory.state.shard_keys[worker.number],
            valid_for=timedelta(seconds=assignment.limits.seconds + 3600),
            address=addresses["store"],
        )
        return {
            "batch_sz_train": job.batch_size,
            "epoch_n": job.epochs,
            "apihost": f"http://{addresses['parameter-server']}",
            "update_intv": job.update_interval,
            "dataset_url": url,
            "device": job.device,
            "id": str(worker.number),
            "token": worker.token,
            "shard": worker.number,
            "seed": job.seed,
            "threads": job.threads,
            "max_steps": job.max_steps,
            "algorithm": job.algorithm,
            "learning_rate": job.learning_rate,
            "momentum": job.momentum,
            "force": job.force,
        }

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        collect_training(run, backends, log)

    def release(self, run: Run) -> None:
        release(run)


def restart_workers(memory: Memory, count: int) -> None:
    """Workers with fresh tokens; activations of an earlier attempt stay counted."""
    before = {worker.number: worker for worker in memory.state.workers}
    workers = tuple(
        WorkerState(
            number=number,
            token=new_token(),
            activations=before[number].activations if number in before else (),
            finished=False,
        )
        for number in range(count)
    )
    memory.update(workers=workers)


def executed(memory: Memory) -> Executed:
    state = memory.state
    return Executed(
        activations={worker.name: worker.activations for worker in state.workers},
        predictions={one.name: one.answer_key for one in state.predictions},
        versions={one.name: one.version for one in state.predictions},
        seconds=round(state.training_s, 3),
        notes=state.notes,
    )
