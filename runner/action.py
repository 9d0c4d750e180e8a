"""What /init and /run mean. One activation at a time, carried out by the main thread; `runner.server` speaks HTTP.

The status is what OpenWhisk judges by: 200 with an object is a success, or with a top-level `error` an application
error; any other status is a developer error.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from runner.errors import ParameterError, RunnerError
from runner.function import Main, load_main, write_code
from runner.logs import Logs

TASKS = {
    "train": "runner.training",
    "predict": "runner.predict",
    "infer": "runner.infer",
    "map": "runner.map_task",
    "reduce": "runner.reduce_task",
    "matrix": "runner.matrix",
}
OURS = {"task", "kind", "entry"}
API = {"apihost": "__OW_API_HOST", "auth": "__OW_API_KEY"}
BUSY = "an activation is running in this container already; it takes one at a time"
NOT_AN_OBJECT = "The action did not receive a dictionary or array as an argument."
NO_RESULT = "The action did not return a dictionary or array."
TWICE = "Cannot initialize the action more than once."


class Answer(NamedTuple):
    status: int
    body: bytes

    @classmethod
    def of(cls, status: int, value: Any) -> Answer:
        return cls(status, json.dumps(value, allow_nan=False).encode())

    @classmethod
    def error(cls, status: int, message: str) -> Answer:
        return cls.of(status, {"error": message})


class Action:
    """The state of one container: the code that it was given, and whether it is busy."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self.given: Main | None = None
        self.turn = threading.Lock()
        self.queue: queue.SimpleQueue[tuple[Callable[[], Answer], Future[Answer]]] = queue.SimpleQueue()

    def serve(self) -> None:
        """Carries out what the server's threads ask for, in the calling thread, for ever."""
        while True:
            work, future = self.queue.get()
            try:
                future.set_result(work())
            except BaseException as error:
                traceback.print_exc()
                future.set_result(Answer.error(500, f"infrastructure: the runner failed: {type(error).__name__}"))

    def answer(self, path: str, message: Any) -> Answer:
        """One request, from any thread."""
        if path not in {"/init", "/run"}:
            return Answer.error(404, f"there is no {path[:80]}; only /init and /run")
        value = message.get("value", {}) if isinstance(message, dict) else None
        if not isinstance(value, dict):
            return Answer.error(400, NOT_AN_OBJECT)
        if not self.turn.acquire(blocking=False):
            return Answer.error(409, BUSY)
        try:
            future: Future[Answer] = Future()
            self.queue.put((lambda: self.init(value) if path == "/init" else self.run(value, message), future))
            return future.result()
        finally:
            self.turn.release()

    def init(self, value: dict[str, Any]) -> Answer:
        """Takes environment and code. Without code (an image of its own) it may be called again."""
        code = value.get("code")
        if self.given is not None:
            return Answer.error(403, TWICE)
        if isinstance(env := value.get("env"), dict):
            _set_environment(env)
        if not code:
            return Answer.of(200, {"ok": True})
        try:
            folder = write_code(str(code), bool(value.get("binary")))
            os.chdir(folder)
            self.given = load_main(folder, str(value.get("main") or "main"))
        except RunnerError as error:
            self.logs.end_activation(error.message)
            return Answer.error(502, error.message)
        return Answer.of(200, {"ok": True})

    def run(self, value: dict[str, Any], message: dict[str, Any]) -> Answer:
        """One activation; its logs end with the sentinel on both streams, whatever happened."""
        _set_environment({f"__OW_{name.upper()}": one for name, one in message.items() if name != "value"})
        if "entry" in value:
            _set_environment({"RUNNER_ENTRY": value["entry"]})
        try:
            return _as_answer(self._function(value)(value))
        except RunnerError as error:
            return Answer.of(200, error.answer())
        except Exception as error:
            traceback.print_exc()
            return Answer.error(200, f"infrastructure: the runner failed: {type(error).__name__}: {str(error)[:300]}")
        finally:
            self.logs.end_activation()

    def _function(self, params: dict[str, Any]) -> Main:
        """Code from /init, else what the parameter `task` names; by hand there is none, and a `url` means inference."""
        if self.given is not None:
            return self.given
        task = params.get("task", "infer" if "url" in params else "train")
        if task == "function":
            return _submitted
        if not isinstance(task, str) or task not in TASKS:
            raise ParameterError(
                f"Wrong parameters: task must be one of {', '.join([*TASKS, 'function'])}, not {str(task)[:40]!r}"
            )
        return _imported(TASKS[task])


def _imported(module: str) -> Main:
    """Its `main`. Nothing of torch goes again once it is imported, and not to look for what does saves a tenth."""
    gc.disable()
    try:
        main: Main = importlib.import_module(module).main
    finally:
        gc.freeze()
        gc.enable()
    return main


def _submitted(params: dict[str, Any]) -> Any:
    """The submission's own `main`: it sees what was bound and given, without what tells our actions apart.

    Where it may invoke others, its environment has host and key as OpenWhisk's own images have them.
    """
    _set_environment({ours: params[name] for name, ours in API.items() if name in params})
    return load_main()({name: value for name, value in params.items() if name not in OURS})


def _as_answer(result: Any) -> Answer:
    if not isinstance(result, dict | list):
        print(f"main returned {type(result).__name__}", file=sys.stderr)
        return Answer.error(502, NO_RESULT)
    try:
        return Answer.of(200, result)
    except (TypeError, ValueError, RecursionError) as error:
        return Answer.error(200, f"the result cannot be written as JSON: {str(error)[:200]}")


def _set_environment(variables: dict[str, Any]) -> None:
    for name, value in variables.items():
        if isinstance(value, str) and name and "=" not in name and "\0" not in name + value:
            os.environ[name] = value
