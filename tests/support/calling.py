"""Small jobs of the kinds that call functions, whose coordinator is killed at a point, and what they leave.

What a function must not end before is waited for: the file `go`, in the folder of the run that its code is read from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.functions import Functions
from pipeline.backends.functions.openwhisk import OpenWhiskClient
from pipeline.embedded.client import attach
from support.deaths import KILLED, environment
from support.killing import execution, left_of, wait_for
from support.ready_process import ReadyProcess

COURSE = Path(__file__).parents[1] / "examples" / "calling.toml"
INVOKES = "request POST /api/v1/namespaces/_/actions/*"
LOOKS = "request GET /api/v1/namespaces/_/activations/*"
WAITS = """
import os, time
def wait_for_go():
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        time.sleep(0.05)
"""
MAP_REDUCE = """
def map(key, value):
    for word in value.split():
        yield word, 1

def reduce(key, values):
    return sum(values)
"""
MATRIX = f"""{WAITS}
def worker(task, blocks):
    found = sum(blocks["a", task["row"], k] @ blocks["b", k, task["column"]] for k in range(task["inner"]))
    if task["row"] == 1:
        wait_for_go()
    return found
"""
PROGRAM = f"""{WAITS}
import json, urllib.error, urllib.request
from base64 import b64encode

def main(params):
    if params["role"] == "helper":
        return {{"number": params["number"] * 2}}
    name = os.environ["__OW_ACTION_NAME"].split("/")[-1]
    asked = {{"role": "helper", "number": params["number"]}}
    made = [ask("POST", f"actions/{{name}}", asked)["activationId"] for _ in range(2)]
    found = sum(answer(one)["number"] for one in made)
    wait_for_go()
    return {{"sum": found}}

def ask(method, path, body=None):
    request = urllib.request.Request(
        f"{{os.environ['__OW_API_HOST']}}/api/v1/namespaces/_/{{path}}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={{
            "Authorization": "Basic " + b64encode(os.environ["__OW_API_KEY"].encode()).decode(),
            "Content-Type": "application/json",
        }},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)

def answer(activation):
    while True:
        try:
            return ask("GET", f"activations/{{activation}}")["response"]["result"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.05)
"""
INFER = """
def load_model():
    return None

def predict(model, pixels):
    return int(pixels.sum()) % 10
"""
FILES = {
    "words": ("mapreduce", "mapreduce.py", MAP_REDUCE),
    "blocks": ("matrix", "matrix.py", MATRIX),
    "program": ("function", "main.py", PROGRAM),
    "digits": ("infer", "main.py", INFER),
}


@dataclass(frozen=True)
class MortalJob:
    """One run of an assignment of `calling.toml`, each of whose commands may die."""

    ready: ReadyProcess
    place: Path
    assignment: str

    @property
    def folder(self) -> Path:
        return self.place / "run"

    def begin(self, die_at: str, log: Path | None = None) -> None:
        """`pipeline run`, to its death."""
        kind, file, code = FILES[self.assignment]
        source = self.place / "submission"
        source.mkdir(parents=True)
        (source / file).write_text(code)
        (source / "submission.toml").write_text(f'kind = "{kind}"\nassignment = "{self.assignment}"\n')
        asked = ["run", str(source), "--course", str(COURSE), "--sandbox", "process", "--out", str(self.folder)]
        code, said = self.ready(asked, environment(die_at, log))
        assert code == KILLED, said

    def goes_on(self, die_at: str, log: Path | None = None) -> None:
        """`pipeline resume`, to its death; what had ended before is not made again."""
        code, said = self.resume(die_at, log)
        assert code == KILLED, said

    def ends(self, code: int = 0) -> dict[str, Any]:
        """`pipeline resume`, to its end; the result."""
        ended, said = self.resume()
        assert ended == code, said
        assert left_of(self.folder) == []
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return result

    def resume(self, die_at: str = "", log: Path | None = None) -> tuple[int, str]:
        before = self.ended
        done = self.ready(["resume", str(self.folder)], environment(die_at, log))
        assert {name: self.ended[name] for name in before} == before
        return done

    def go(self) -> None:
        (self.folder / "source" / "go").touch()

    @property
    def ended(self) -> dict[str, list[str]]:
        """The activations of the calls that have ended."""
        return {name: one["activations"] for name, one in self.calls.items() if one["ended"]}

    @property
    def calls(self) -> dict[str, Any]:
        found: dict[str, Any] = execution(self.folder).get("calls", {})
        return found

    def have_ended(self, number: int) -> None:
        """Waits until so many activations of the run's one action have ended, with the coordinator dead."""
        servers = attach(self.folder / "servers.json")
        assert servers is not None
        functions: Functions = OpenWhiskClient(servers.apihost, servers.auth)
        (action,) = self.registered.values()
        wait_for(lambda: len(functions.activation_ids(action)) >= number, f"{number} activations")

    @property
    def registered(self) -> dict[str, str]:
        record = json.loads((self.folder / "record.json").read_text())
        actions: dict[str, str] = record["registered"]["actions"]
        return actions

    def records(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Of the activations that count of the calls whose names begin so."""
        for name, one in self.calls.items():
            if name.startswith(prefix):
                path = self.folder / "private" / "activations" / f"{one['activations'][-1]}.json"
                yield json.loads(path.read_text())
