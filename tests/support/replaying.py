"""Asks a server of OpenWhisk's API what a real one was asked, and compares the answers.

Ids, transaction codes, moments and durations are compared by their form; lists of entities by the fields of their
members; log lines not at all, because the recorded server read them by whole seconds and left stderr out.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.recordings import AUTH, Exchange

PATIENCE_S = 60.0
EQUAL_HEADERS = (
    "content-type",
    "www-authenticate",
    "allow",
    "location",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
)
PRESENT_HEADERS = ("x-request-id", "x-openwhisk-activation-id")
FIGURES = {
    *("duration", "waitTime", "initTime", "updated", "start", "end", "uptime", "pid", "now_ms", "buildno", "size"),
    *("runs", "activations", "actions", "packages", "rules", "triggers"),
}
OF_THE_HOST = {
    *("host", "run_headers", "env", "gets", "init", "build", "description", "swagger_paths", "runtimes", "support"),
    "logs",
}
VARYING = (
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\b1[5-9]\d{11}\b"), "<ms>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<moment>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<container>"),
    (re.compile(r"\(code [A-Za-z0-9]{32}\)"), "(code <transaction>)"),
)
TRANSACTION = re.compile(r"[A-Za-z0-9]{32}\Z")


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where nothing did. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Difference:
    """How the answer to one exchange differed from the recorded one."""

    name: str
    how: tuple[str, ...]


@dataclass
class Replay:
    """One file's exchanges, in order, on one server: later ones name ids that earlier answers gave."""

    apihost: str
    auth: str
    ids: dict[str, str] = field(default_factory=dict)
    compared: int = 0

    def differences(self, exchanges: Iterable[Exchange]) -> Iterator[Difference]:
        """What differs. An unstable exchange is asked, because others follow from it, and not compared."""
        for exchange in exchanges:
            if exchange.unstable and exchange.method == "GET":
                continue
            answer = self._ask_until_readable(exchange)
            self._learn(_value(exchange.answer), _value(answer.text))
            header = "x-openwhisk-activation-id"
            self._learn_id(exchange.answer_headers.get(header), answer.headers.get(header))
            if exchange.unstable:
                continue
            self.compared += 1
            if how := tuple(_differences(exchange, answer)):
                yield Difference(exchange.name, how)

    def _ask_until_readable(self, exchange: Exchange) -> Answer:
        """Records are written after the answer: one that is not there yet is asked for again."""
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = self._ask(exchange)
            late = answer.status == 404 and exchange.status == 200 and "/activations/" in exchange.path
            if not late or time.monotonic() > until:
                return answer
            time.sleep(0.05)

    def _ask(self, exchange: Exchange) -> Answer:
        host = urllib.parse.urlsplit(self.apihost)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=130)
        try:
            connection.putrequest(exchange.method, self._path(exchange.path), skip_accept_encoding=True)
            for name, value in exchange.headers:
                connection.putheader(name, value.replace(_basic(AUTH), _basic(self.auth)))
            data = None if exchange.body is None else exchange.body.encode()
            if data is not None or exchange.method in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(data or b"")))
            connection.endheaders(data)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, f"no answer: {error!r}")
        finally:
            connection.close()

    def _path(self, path: str) -> str:
        for recorded, live in self.ids.items():
            path = path.replace(recorded, live)
        return path

    def _learn(self, recorded: Any, live: Any) -> None:
        """Which live id stands for which recorded one, by their places in two answers."""
        if isinstance(recorded, dict) and isinstance(live, dict):
            self._learn_id(recorded.get("activationId"), live.get("activationId"))
            for key in recorded.keys() & live.keys():
                self._learn(recorded[key], live[key])
        elif isinstance(recorded, list) and isinstance(live, list):
            for one, other in zip(recorded, live, strict=False):
                self._learn(one, other)

    def _learn_id(self, recorded: Any, live: Any) -> None:
        if isinstance(recorded, str) and isinstance(live, str):
            self.ids.setdefault(recorded, live)


def _basic(auth: str) -> str:
    return base64.b64encode(auth.encode()).decode()


def _value(answer: Any) -> Any:
    if not isinstance(answer, str):
        return answer
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _differences(exchange: Exchange, answer: Answer) -> Iterator[str]:
    if answer.status != exchange.status:
        yield f"status {answer.status}, recorded {exchange.status}: {answer.text[:300]!r}"
        return
    for name in EQUAL_HEADERS:
        ours, theirs = (_header(name, one) for one in (answer.headers, exchange.answer_headers))
        if ours != theirs:
            yield f"{name}: {ours!r}, recorded {theirs!r}"
    for name in PRESENT_HEADERS:
        if (name in answer.headers) != (name in exchange.answer_headers):
            yield f"{name} is {'there' if name in answer.headers else 'missing'}"
    recorded = _value(exchange.answer)
    if isinstance(recorded, dict) and "truncated" in recorded:
        return
    ours, theirs = form(_value(answer.text)), form(recorded)
    if ours != theirs:
        yield f"{json.dumps(ours, ensure_ascii=False)[:600]}, recorded {json.dumps(theirs, ensure_ascii=False)[:600]}"


def _header(name: str, headers: Mapping[str, str]) -> str:
    value = headers.get(name, "")
    return value.partition(";")[0].strip() if name == "content-type" else value


def form(value: Any, key: str = "") -> Any:
    """What of a JSON value found under a key is compared."""
    if key in OF_THE_HOST:
        return f"<{key}>"
    if isinstance(value, dict):
        return {name: form(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return _list_form(value, key)
    if key in FIGURES and isinstance(value, int | float) and not isinstance(value, bool):
        return "<number>"
    if isinstance(value, str):
        return "<transaction>" if key == "code" and TRANSACTION.match(value) else _text_form(value)
    return value


def _list_form(value: list[Any], key: str) -> Any:
    objects = bool(value) and all(isinstance(one, dict) for one in value)
    if key == "annotations" or (objects and all({"key", "value"} <= one.keys() for one in value)):
        # whether a container was new, and so has an initTime, is a matter of the moment
        return {one["key"]: form(one["value"], one["key"]) for one in value if one["key"] != "initTime"}
    if objects and all("namespace" in one for one in value):
        return {"members": sorted({name for one in value for name in one} - {"cause"})}
    return [form(one, key) for one in value]


def _text_form(text: str) -> str:
    for pattern, stands in VARYING:
        text = pattern.sub(stands, text)
    return text
