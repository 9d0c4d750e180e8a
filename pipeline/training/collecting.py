"""Brings a training home: records and logs of every activation, answers of the predictions, and all figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version

import numpy as np

from pipeline.backends import Backends
from pipeline.backends.functions import Functions
from pipeline.calling.collecting import activations_home, interval, stored, used_in_all
from pipeline.calling.traffic import traffic_table
from pipeline.collected import keep_logs, keep_record
from pipeline.embedded.contract import Usage
from pipeline.figures import (
    REPORTED_BY_WORKER,
    Figures,
    Interval,
    Listed,
    LossPoint,
    Score,
    WorkerFigures,
    save_figures,
)
from pipeline.files import write_bytes
from pipeline.kinds.train import TrainJob
from pipeline.listener import StageLog
from pipeline.run import Run, job_of
from pipeline.training.evaluation import AnswerError, accuracy, read_answer
from pipeline.training.execution import HIDDEN, VALIDATION, Execution, PredictionState, WorkerState, load
from pipeline.training.material import as_npy, read_labels
from pipeline.training.status import ServerStatus, ShardStatus

LARGEST_MODEL = 2**30
PREDICTION = "prediction"
FORWARDER = "train"
REPORTED_WITHOUT_SERVER = (*REPORTED_BY_WORKER, "steps", "bytes_sent", "bytes_received")
NOT_MEASURED = "not measured: memory, CPU time, disk and processes of the workers, which a real OpenWhisk does not tell"


def collect_training(run: Run, backends: Backends, log: StageLog) -> None:
    """Writes `logs/worker-N.log`, the private records, and the figures. A part that is missing is named there."""
    state = load(run)
    functions = backends.servers.functions()
    intervals = [*worker_activations(run, functions, state), *prediction_activations(run, functions, state)]
    keep_model(run, backends, state)
    usage = {one.activation: one for one in backends.servers.usage()}
    scores, missing = score_all(run, backends, state, log)
    hidden = {one.label: one.accuracy for one in scores[HIDDEN]}
    status, through_store = state.status, job_of(run, TrainJob).through_store
    save_figures(
        run,
        Figures(
            accuracy=hidden.get("final"),
            accuracy_initial=hidden.get("initial"),
            rows=len(read_labels(run, HIDDEN)) if HIDDEN in state.input_keys else None,
            validation=tuple(scores[VALIDATION]),
            validation_rows=len(read_labels(run, VALIDATION)) if VALIDATION in state.input_keys else None,
            loss=loss_points(status),
            listed=(exchanged(backends, intervals),) if through_store else (),
            workers=tuple(worker_figures(one, status, usage, through_store) for one in state.workers),
            intervals=tuple(intervals),
            seconds=round(state.training_s, 3) if state.trained else None,
            **stored(backends.servers.traffic("train")),
            updates=status.version if status else None,
            host_cpu_percent=state.host_cpu_percent,
            torch=version("torch"),
            notes=(*state.notes, *(() if backends.servers.measures else (NOT_MEASURED,))),
            missing=missing,
        ),
    )
    log(f"{sum(len(one.activations) for one in state.workers)} activations of workers, {len(intervals)} records")


def keep_model(run: Run, backends: Backends, state: Execution) -> None:
    """The final parameters are the student's own: safetensors, array by name."""
    key = next((one.parameters_key for one in state.predictions if one.label == "final"), None)
    if key is not None:
        write_bytes(run.model_file, backends.servers.course_bucket().get(key, at_most=LARGEST_MODEL))


def worker_activations(run: Run, functions: Functions, state: Execution) -> Iterable[Interval]:
    """Records and logs of the workers; the logs are the student's to read."""
    secrets = [*(worker.token for worker in state.workers if worker.token), *state.secrets]
    for worker in state.workers:
        log = run.logs / f"{worker.name}.log"
        for record in activations_home(run, functions, worker.activations, log, secrets):
            yield interval(record, f"worker {worker.number}")


def prediction_activations(run: Run, functions: Functions, state: Execution) -> Iterable[Interval]:
    """Records and logs of the predictions: they may show hidden inputs, so they are staff's."""
    made = {one.activation: one.group for one in state.predictions if one.activation}
    for activation, group in made.items():
        record = functions.activation(activation)
        if record is None:
            continue
        keep_record(run, record)
        keep_logs(run.hidden_logs / f"predict-{group}.log", [*functions.logs(record.id), str(record.result)], [])
        yield interval(record, PREDICTION)


def score_all(
    run: Run, backends: Backends, state: Execution, log: StageLog
) -> tuple[dict[str, list[Score]], dict[str, str]]:
    """Scores by the rows they were taken on, and the reasons of those that the submission left without a value."""
    scores: dict[str, list[Score]] = {HIDDEN: [], VALIDATION: []}
    missing: dict[str, str] = {}
    for one in state.predictions:
        try:
            scores[one.inputs].append(score(run, backends, one))
        except AnswerError as error:
            log(f"{one.name}: {error}")
            if one.inputs == HIDDEN:
                missing |= {"accuracy": str(error)} if one.label == "final" else {}
                missing |= {"gain": str(error)}
    return scores, missing


def score(run: Run, backends: Backends, one: PredictionState) -> Score:
    labels = read_labels(run, one.inputs)
    answer = read_answer(backends.servers.course_bucket(), one, len(labels))
    write_bytes(run.predictions / f"{one.name}.npy", as_npy(answer.astype(np.uint8)), mode=0o600)
    return Score(version=one.version, accuracy=accuracy(answer, labels), label=one.label)


def exchanged(backends: Backends, intervals: Sequence[Interval]) -> Listed:
    together = sum(one.end - one.start for one in intervals if one.row != PREDICTION)
    return traffic_table(backends.servers.traffic(FORWARDER), together)


def worker_figures(
    worker: WorkerState, status: ServerStatus | None, usage: dict[str, Usage], through_store: bool
) -> WorkerFigures:
    """What a worker did in all of its activations. Bytes are counted by the parameter server where there is one."""
    shard = status.shards[worker.number] if status else ShardStatus(shard=worker.number)
    used = [usage[one] for one in worker.activations if one in usage]
    return WorkerFigures(
        worker=worker.number,
        activations=len(worker.activations),
        steps=shard.steps,
        compute_s=shard.compute_s,
        communication_s=shard.communication_s,
        wait_s=shard.wait_s,
        bytes_sent=shard.bytes_sent,
        bytes_received=shard.bytes_received,
        state="" if worker.finished else worker.state,
        reported=REPORTED_WITHOUT_SERVER if through_store else REPORTED_BY_WORKER,
    ).model_copy(update=used_in_all(used) if used else {})


def loss_points(status: ServerStatus | None) -> tuple[LossPoint, ...]:
    return tuple(LossPoint(version=v, seconds=s, loss=x) for v, s, x in status.losses) if status else ()
