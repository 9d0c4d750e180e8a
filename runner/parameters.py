"""Parameters of an invocation: typed and bounded, every fault named at once.

The six that the course has always used are required for training; the words "No argument" and "Wrong parameters"
are those that its students know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runner.errors import ParameterError

MAX_URL = 8192
MAX_JOBS = 100
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TOKEN = re.compile(r"[\x21-\x7e]{0,4096}")
DEVICE = re.compile(r"[a-z]{1,16}(:[0-9]{1,2})?")
STORE_WAY = re.compile(r"allreduce|scatterreduce")
ALGORITHM = re.compile(r"gradient-averaging|model-averaging|easgd")
OPTIMISER = re.compile(r"sgd|adam")
ENDPOINT = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")


class Reader:
    """Takes values out of the parameters and keeps the faults, so that all are told at once."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.missing: list[str] = []
        self.wrong: list[str] = []

    def _take(self, name: str, default: Any) -> Any:
        value = self.params.get(name)
        if value is None:
            if default is None:
                self.missing.append(name)
            return default
        return value

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number, or its decimal digits as text."""
        value = self._take(name, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._refuse(name, value, f"a whole number from {low} to {high}")
        return low

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = self._take(name, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self._refuse(name, value, f"a number from {low:g} to {high:g}")
        return low

    def text(self, name: str, pattern: re.Pattern[str], meaning: str, default: str | None = None) -> str:
        value = self._take(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self._refuse(name, value, meaning)
        return ""

    def url(self, name: str) -> str:
        value = self._take(name, None)
        if isinstance(value, str) and len(value) <= MAX_URL and _is_http(value):
            return value
        self._refuse(name, value, "an http or https URL")
        return ""

    def wholes(self, name: str, low: int, high: int, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._take(name, default)
        numbers = value if isinstance(value, list | tuple) and len(value) <= MAX_JOBS else None
        if numbers is not None and all(type(one) is int and low <= one <= high for one in numbers):
            return tuple(numbers)
        self._refuse(name, value, f"a list of at most {MAX_JOBS} whole numbers from {low} to {high}")
        return ()

    def each(self, name: str) -> list[Reader]:
        """A reader for each object of a list; this one itself where no list is given. They share their faults."""
        value = self.params.get(name)
        if value is None:
            return [self]
        if not isinstance(value, list) or not 0 < len(value) <= MAX_JOBS or not all(isinstance(x, dict) for x in value):
            self._refuse(name, value, f"a list of 1 to {MAX_JOBS} objects")
            return []
        return self._readers(value)

    def list_of(self, name: str, least: int, most: int) -> list[Reader]:
        """A reader for each object of a list of `least` to `most`. They share their faults."""
        value = self._take(name, None)
        if isinstance(value, list) and least <= len(value) <= most and all(isinstance(one, dict) for one in value):
            return self._readers(value)
        self._refuse(name, value, f"a list of {least} to {most} objects")
        return []

    def _readers(self, values: list[dict[str, Any]]) -> list[Reader]:
        readers = [Reader(one) for one in values]
        for reader in readers:
            reader.missing, reader.wrong = self.missing, self.wrong
        return readers

    def _refuse(self, name: str, value: Any, meaning: str) -> None:
        if value is not None:
            kind = "" if isinstance(value, int | float) else f"{type(value).__name__} "
            shown = kind + repr(value if kind == "" else str(value)[:40])[:60]
            self.wrong.append(f"{name} must be {meaning}, not {shown}")

    def finish(self) -> None:
        """Raises ParameterError when anything was missing or wrong."""
        parts = []
        if self.missing:
            parts.append(f"No argument: {', '.join(self.missing)} must be given")
        if self.wrong:
            parts.append(f"Wrong parameters: {'; '.join(self.wrong)}")
        if parts:
            raise ParameterError(". ".join(parts))


@dataclass(frozen=True)
class WorkParameters:
    """What a worker does, however it exchanges. Times in seconds; `max_steps` 0 means no bound but the epochs.

    `force` is EASGD's alpha, by which centre and worker draw each other.
    """

    batch_sz_train: int
    epoch_n: int
    update_intv: int
    dataset_url: str
    device: str
    shard: int
    seed: int
    threads: int
    max_steps: int
    margin_s: float
    learning_rate: float
    momentum: float
    force: float


def work_parameters(read: Reader) -> dict[str, Any]:
    return {
        "batch_sz_train": read.whole("batch_sz_train", 1, 65536),
        "epoch_n": read.whole("epoch_n", 1, 100_000),
        "update_intv": read.whole("update_intv", 1, 65536),
        "dataset_url": read.url("dataset_url"),
        "device": read.text("device", DEVICE, "`cpu` or `cuda`"),
        "shard": read.whole("shard", 0, 65535, 0),
        "seed": read.whole("seed", 0, 2**32 - 1, 0),
        "threads": read.whole("threads", 1, 256, 1),
        "max_steps": read.whole("max_steps", 0, 2**31, 0),
        "margin_s": read.number("margin_s", 0, 3600, 10.0),
        "learning_rate": read.number("learning_rate", 0, 10, 0.03),
        "momentum": read.number("momentum", 0, 1, 0.0),
        "force": read.number("force", 0, 1, 0.0),
    }


@dataclass(frozen=True)
class TrainParameters(WorkParameters):
    """One worker's part of a training by a parameter server."""

    apihost: str
    id: str
    token: str

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> TrainParameters:
        """Raises ParameterError that names every missing and every wrong parameter."""
        read = Reader(params)
        parsed = cls(
            **work_parameters(read),
            apihost=read.url("apihost").rstrip("/"),
            id=read.text("id", IDENTIFIER, "a short name of letters, digits, `.`, `_`, `-`", "0"),
            token=read.text("token", TOKEN, "a token of printable characters", ""),
        )
        read.finish()
        return parsed


@dataclass(frozen=True)
class StoreParameters(WorkParameters):
    """One worker's part of a training through the store alone.

    `shard_rows` are the rows of each worker's shard, `stored_bytes` what the exchange may leave in the bucket,
    `scored` the rounds after which worker 0 leaves the parameters there.
    """

    aggregation: str
    algorithm: str
    optimiser: str
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    shard_rows: tuple[int, ...]
    checkpoint_rounds: int
    stored_bytes: int
    scored: tuple[int, ...]

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> StoreParameters:
        """Raises ParameterError that names every missing and every wrong parameter."""
        read = Reader(params)
        parsed = cls(
            **work_parameters(read),
            aggregation=read.text("aggregation", STORE_WAY, "`allreduce` or `scatterreduce`"),
            algorithm=read.text(
                "algorithm", ALGORITHM, "`gradient-averaging`, `model-averaging` or `easgd`", "gradient-averaging"
            ),
            optimiser=read.text("optimiser", OPTIMISER, "`sgd` or `adam`", "sgd"),
            endpoint=read.text("endpoint", ENDPOINT, "host:port"),
            bucket=read.text("bucket", BUCKET, "a bucket's name"),
            access_key=read.text("access_key", TOKEN, "printable characters"),
            secret_key=read.text("secret_key", TOKEN, "printable characters"),
            shard_rows=read.wholes("shard_rows", 1, 1 << 20),
            checkpoint_rounds=read.whole("checkpoint_rounds", 1, 2**31, 100),
            stored_bytes=read.whole("stored_bytes", 1, 2**50, 1 << 28),
            scored=read.wholes("scored", 1, 2**31, ()),
        )
        read.finish()
        return parsed


@dataclass(frozen=True)
class PredictJob:
    """One set of parameters to predict with, and where the answer goes. Signed URLs."""

    parameters_url: str
    answer_url: str


@dataclass(frozen=True)
class PredictParameters:
    """Predictions on the same inputs. One job may also be given by its two URLs, without a list."""

    inputs_url: str
    jobs: tuple[PredictJob, ...]
    device: str
    threads: int

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> PredictParameters:
        """Raises ParameterError that names every missing and every wrong parameter."""
        read = Reader(params)
        parsed = cls(
            inputs_url=read.url("inputs_url"),
            jobs=tuple(PredictJob(one.url("parameters_url"), one.url("answer_url")) for one in read.each("jobs")),
            device=read.text("device", DEVICE, "`cpu` or `cuda`", "cpu"),
            threads=read.whole("threads", 1, 256, 1),
        )
        read.finish()
        return parsed


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False
