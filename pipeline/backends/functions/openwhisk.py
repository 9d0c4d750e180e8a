"""OpenWhisk through its REST API, embedded or real: register, invoke, read activations."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from pipeline.backends.functions import Action, Activation
from pipeline.backends.functions.records import activation_of, has_record
from pipeline.errors import CourseError, InfrastructureError, ThrottledError

CONNECT_S, READ_S = 5.0, 30.0
BLOCKING_S = 90.0
"""A server waits a minute for the end of a blocking invocation."""
TRIES = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
THROTTLED_FOR_S = 300.0
BUSY_S = 5.0
BALANCER = (502, 503)
REFUSALS = (400, 401, 403, 409, 413)
PAGE = 200
MB = 2**20
OF_NAMESPACE = {
    "concurrentInvocations": ("concurrent_actions", 1),
    "invocationsPerMinute": ("actions_per_minute", 1),
    "maxActionMemory": ("max_action_memory", MB),
    "maxActionTimeout": ("max_action_duration", 1),
    "maxActionLogs": ("max_action_logs", MB),
}
"""A namespace's own limits go before the server's: their names there, and their units in `GET /`."""


class OpenWhiskClient:
    """Functions of one namespace. Threads may share it.

    `auth` is `uuid:key`. https is checked against the system's certificates or `ca_file`, unless `insecure`.
    Failures are tried again a few times. A request to invoke is tried again only when it cannot have been accepted,
    because each acceptance is one more activation; a throttled one is the caller's to repeat, who may have others
    to look after meanwhile.
    """

    def __init__(
        self,
        apihost: str,
        auth: str,
        *,
        namespace: str = "_",
        ca_file: Path | None = None,
        insecure: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._host = base_url(apihost)
        self._base = f"{self._host}/api/v1/namespaces/{quote(namespace, safe='')}"
        user, _, key = auth.strip().partition(":")
        self._auth = HTTPBasicAuth(user, key)
        self._verify: bool | str = False if insecure else str(ca_file) if ca_file else True
        if insecure:  # it was asked for, and a line for each request hides all others
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._sleep = sleep
        self._local = threading.local()

    def server_limits(self) -> Mapping[str, Any]:
        """What `GET /` says of the server's limits, and `/limits` of the namespace's: bytes, milliseconds, counts.

        Raises InfrastructureError, CourseError for a key that opens nothing.
        """
        limits = self._json(self._ask("GET", f"{self._host}/")).get("limits")
        if not isinstance(limits, dict):
            raise InfrastructureError(f"{self._host} is no OpenWhisk: it names no limits", hint="check apihost")
        own = self._json(self._ask("GET", f"{self._base}/limits"))
        given = [(*OF_NAMESPACE[name], value) for name, value in own.items() if name in OF_NAMESPACE]
        return limits | {name: value * unit for name, unit, value in given if isinstance(value, int)}

    def put_action(self, action: Action) -> None:
        """Makes or replaces an action of a black-box image. Raises CourseError, InfrastructureError."""
        body = {
            "exec": {"kind": "blackbox", "image": action.image},
            "limits": {
                "memory": action.limits.memory_mb,
                "timeout": round(action.limits.timeout_s * 1000),
                "logs": action.limits.logs_mb,
            },
            "parameters": _pairs(action.parameters),
            "annotations": _pairs(action.annotations),
        }
        self._ask("PUT", f"{self._action(action.name)}?overwrite=true", body)

    def action_names(self, run: str) -> list[str]:
        """The names of all actions whose annotation `run` says so."""
        found: list[Any] = []
        while True:
            page = self._ask("GET", f"{self._base}/actions?limit={PAGE}&skip={len(found)}").json()
            found += page
            if len(page) < PAGE:
                break
        return [str(one["name"]) for one in found if {"key": "run", "value": run} in one.get("annotations", ())]

    def delete_action(self, name: str) -> None:
        self._ask("DELETE", self._action(name), may_be_absent=True)

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Starts an activation without waiting; its id. Raises CourseError, InfrastructureError, ThrottledError."""
        answer = self._json(self._ask("POST", self._action(name), dict(parameters)))
        activation = answer.get("activationId")
        if not isinstance(activation, str):
            raise InfrastructureError(f"{self._host} accepted {name} without naming an activation")
        return activation

    def call(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, Activation | None]:
        """Invokes and waits: id and record, without a record where it runs longer than the server waits (a minute).

        Raises CourseError, InfrastructureError, ThrottledError.
        """
        url = f"{self._action(name)}?blocking=true"
        answer = self._json(self._ask("POST", url, dict(parameters), read_s=BLOCKING_S, ended=has_record))
        activation = answer.get("activationId")
        if not isinstance(activation, str):
            raise InfrastructureError(f"{self._host} accepted {name} without naming an activation")
        return activation, self._read(answer) if "response" in answer else None

    def activation(self, activation_id: str) -> Activation | None:
        """The record with its logs, or None while it runs (or where it was lost: keep a deadline)."""
        response = self._ask("GET", f"{self._base}/activations/{quote(activation_id, safe='')}", may_be_absent=True)
        if response.status_code == 404:
            return None
        return self._read(self._json(response))

    def _read(self, record: Mapping[str, Any]) -> Activation:
        try:
            return activation_of(record)
        except (KeyError, TypeError, ValueError) as error:
            raise InfrastructureError(
                f"the record of activation {record.get('activationId')} from {self._host} cannot be read: {error!r}"
            ) from error

    def activation_ids(self, action: str) -> list[str]:
        """The activations of an action that have ended, whoever invoked it, the oldest first."""
        found: list[Any] = []
        while True:
            query = f"name={quote(action, safe='')}&limit={PAGE}&skip={len(found)}"
            page = self._ask("GET", f"{self._base}/activations?{query}").json()
            found += page
            if len(page) < PAGE:
                return [str(one["activationId"]) for one in sorted(found, key=lambda one: one["start"])]

    def logs(self, activation_id: str) -> tuple[str, ...]:
        """The activation's log lines; none while it runs."""
        url = f"{self._base}/activations/{quote(activation_id, safe='')}/logs"
        response = self._ask("GET", url, may_be_absent=True)
        return () if response.status_code == 404 else tuple(map(str, self._json(response).get("logs", ())))

    def _action(self, name: str) -> str:
        return f"{self._base}/actions/{quote(name, safe='')}"

    def _ask(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        *,
        may_be_absent: bool = False,
        read_s: float = READ_S,
        ended: Callable[[requests.Response], bool] = lambda _: False,
    ) -> requests.Response:
        """`ended` says of an answer whose status is one of a failure that it is what was asked for."""
        failures, throttled_s = 0, 0.0
        while True:
            wait_s = _backoff(failures)
            try:
                response = self._send(method, url, body, read_s)
            except OSError as error:  # all of requests' errors are
                failures += 1
                if failures >= TRIES or not _may_repeat(method, error):
                    raise self._unreachable(method, error) from error
            else:
                if response.status_code == 429 and method != "POST" and throttled_s < THROTTLED_FOR_S:
                    wait_s = _throttle_wait(response, _backoff(min(5, int(throttled_s))))
                    throttled_s += wait_s
                elif _passing(response.status_code, method) and failures + 1 < TRIES:
                    failures += 1
                elif response.ok or (may_be_absent and response.status_code == 404) or ended(response):
                    return response
                else:
                    raise self._refusal(response, method)
            self._sleep(wait_s)

    def _unreachable(self, method: str, error: OSError) -> CourseError | InfrastructureError:
        if isinstance(error, requests.exceptions.SSLError):
            return CourseError(
                f"the certificate of {self._host} is not accepted: {_reason(error)}",
                hint="name that of its authority with servers.ca_file, or http:// in servers.apihost",
            )
        return InfrastructureError(
            f"{self._host} cannot be reached ({method}): {_reason(error)}",
            hint="see that the server runs, then `pipeline resume`",
        )

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None, read_s: float) -> requests.Response:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.auth, session.verify = self._auth, self._verify
            session.trust_env = False
        response: requests.Response = session.request(
            method, url, json=body, timeout=(CONNECT_S, read_s), allow_redirects=False
        )
        return response

    def _refusal(self, response: requests.Response, method: str) -> CourseError | InfrastructureError:
        said = _text(response)
        if response.status_code == 429:
            wait_s = _throttle_wait(response, BUSY_S)
            return ThrottledError(f"OpenWhisk takes no more for now: {said}", wait_s=wait_s)
        message = f"OpenWhisk at {self._host} refused {method} {response.url.partition('?')[0]}: {said}"
        if response.status_code == 401:
            return CourseError(message, hint="check the key in the course's auth_file")
        if response.status_code in REFUSALS:
            return CourseError(message, hint="what is asked for does not fit the server's limits or the key's rights")
        return InfrastructureError(f"{message} (HTTP {response.status_code})")

    def _json(self, response: requests.Response) -> dict[str, Any]:
        try:
            content = response.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise InfrastructureError(f"{self._host} answered no JSON object", hint="check apihost")
        return content


def base_url(apihost: str) -> str:
    """An address without a scheme is one of https, as for every client of OpenWhisk."""
    return (apihost if "://" in apihost else f"https://{apihost}").rstrip("/")


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in sorted(values.items())]


def _may_repeat(method: str, error: OSError) -> bool:
    """A connection that was never made did nothing; a lost one may have started an activation."""
    if isinstance(error, requests.exceptions.SSLError) or not isinstance(
        error, requests.ConnectionError | requests.Timeout
    ):
        return False
    never_sent = isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in repr(error)
    return never_sent or method != "POST"


def _backoff(failures: int) -> float:
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**failures) * random.uniform(0.5, 1.0)


def _passing(status: int, method: str) -> bool:
    """A balancer without a server. Behind a bad gateway an invocation may have been accepted."""
    return status in BALANCER and not (status == 502 and method == "POST")


def _throttle_wait(response: requests.Response, otherwise_s: float) -> float:
    """The minute's count starts anew with the calendar minute, and what is refused counts too: wait for it."""
    if "in the last minute" in _text(response):
        return 60 - time.time() % 60 + random.uniform(0.2, 2.0)
    return otherwise_s


def _text(response: requests.Response) -> str:
    try:
        content = response.json()
    except ValueError:
        content = None
    said = content.get("error") if isinstance(content, dict) else None
    return str(said or response.text[:500] or response.reason)


def _reason(error: OSError) -> str:
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return str(inner)
