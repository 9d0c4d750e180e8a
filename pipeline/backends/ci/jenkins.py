"""Jenkins' REST API as far as it is used here, and the one place where its failures become errors of ours.

Jobs and folders go through python-jenkins; builds, queue and console through requests, which can leave a redirect
alone, read bytes from an offset, and says which status came. Both have the bot's API token, which needs no crumb.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jenkins
import requests

from pipeline.backends.ci.jenkins_jobs import Item
from pipeline.build_server import BuildServer
from pipeline.errors import InfrastructureError, ThrottledError
from pipeline.text import one_line

# while Jenkins starts, or a proxy before it does
STARTING = {502, 503, 504}
GONE = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
AWAY_S, DENIED_S = 10.0, 300.0
QUEUE_ITEM = re.compile(r"/queue/item/(\d+)/")
CHUNK_BYTES = 1 << 16
PATIENCE = 3
"""A file comes within so many times the limit of one request, or not at all."""


class AwayError(ThrottledError):
    """Jenkins is not there for now, or takes nothing from us for now; nothing is lost by asking again."""

    def __init__(self, message: str, *, hint: str, wait_s: float = AWAY_S) -> None:
        super().__init__(message, wait_s=wait_s)
        self.hint = hint


class MissingError(InfrastructureError):
    """Jenkins answers, and has no such job, build or queue item, or does not show it to us."""


class UnwantedError(InfrastructureError):
    """Jenkins has the file, and it is larger or comes more slowly than is waited for."""


class Connection:
    """One Jenkins, as the bot."""

    def __init__(self, server: BuildServer) -> None:
        self.server = server
        token = server.token()
        verify: str | bool = str(server.ca_file) if server.ca_file else True
        # retries of python-jenkins 1.8.3 have no effect, and without a time-out it waits for ever
        self.client = jenkins.Jenkins(server.url, server.user, token, timeout=server.timeout_s)
        self.client._session.verify = verify
        self.session = requests.Session()
        self.session.auth = (server.user, token)
        self.session.verify = verify

    def jobs(self, folder: str) -> tuple[str, dict[str, dict[str, Any]]]:
        """A folder's description, and its jobs by name: description, color, buildable. Raises MissingError."""
        told = self.json(job_path(folder), "description,jobs[name,description,color,buildable]")
        return told.get("description") or "", {one["name"]: one for one in told.get("jobs") or ()}

    def put(self, item: Item) -> None:
        """Creates a folder or job, or replaces its configuration."""
        with self.asking(f"the configuration of {item.name}"):
            self.client.upsert_job(item.name, item.xml)

    def disable(self, name: str) -> None:
        with self.asking(f"that {name} is disabled"):
            self.client.disable_job(name)

    def enable(self, name: str) -> None:
        with self.asking(f"that {name} is enabled"):
            self.client.enable_job(name)

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> requests.Response:
        return self.request("GET", path, params=parameters)

    def post(self, path: str, data: Mapping[str, str] | None = None) -> requests.Response:
        """A redirect is an answer like any other: where a duplicate waits, say."""
        return self.request("POST", path, data=data)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        with self.asking(path):
            answer = self.session.request(
                method, self.server.url + path, timeout=self.server.timeout_s, allow_redirects=False, **options
            )
            answer.raise_for_status()
            return answer

    def read(self, path: str, at_most: int) -> bytes:
        """A file of at most so many bytes. Raises UnwantedError where it is larger, and what `get` raises."""
        plain, slow_at = {"Accept-Encoding": "identity"}, time.monotonic() + PATIENCE * self.server.timeout_s
        content = bytearray()
        with self.asking(path), self.request("GET", path, headers=plain, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise self.refused(answer.status_code, path, "")
            for chunk in answer.iter_content(CHUNK_BYTES):
                content += chunk
                if len(content) > at_most:
                    raise UnwantedError(f"larger than the {at_most} bytes that may come", hint="it is in Jenkins")
                if time.monotonic() > slow_at:
                    raise UnwantedError("Jenkins gave it too slowly", hint="it is in Jenkins")
        return bytes(content)

    def json(self, path: str, tree: str) -> dict[str, Any]:
        with self.asking(path):
            told: dict[str, Any] = self.get(path + "/api/json", {"tree": tree}).json()
            return told

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Both families of errors, python-jenkins' and requests', as errors of ours."""
        try:
            with without_proxy_bundle(self.server.ca_file):
                yield
        except jenkins.NotFoundException:
            raise self.missing(what) from None
        except requests.HTTPError as error:
            raise self.refused(error.response.status_code, what, error.response.headers.get("X-Error", "")) from None
        except (*GONE, jenkins.TimeoutException) as error:
            raise self.away(f"cannot be reached: {one_line(str(error), 160)}") from None
        except jenkins.JenkinsException as error:
            raise self.explained(one_line(str(error), 200), what) from None
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            said = one_line(f"{type(error).__name__}: {error}", 160)
            raise InfrastructureError(
                f"{self.server.url} gave no answer of Jenkins for {what}: {said}", hint="is it the address of Jenkins?"
            ) from None

    def explained(self, said: str, what: str) -> InfrastructureError:
        """python-jenkins tells statuses in words only."""
        status = re.search(r"\[(\d{3})\]", said)
        if status:
            return self.refused(int(status[1]), what, "")
        return InfrastructureError(f"Jenkins at {self.server.url} refused {what}: {said}", hint="its log says more")

    def refused(self, status: int, what: str, said: str) -> InfrastructureError:
        if status in STARTING:
            return self.away(f"answers with {status}: it is starting, or a proxy before it says so")
        if status in {401, 403}:
            return AwayError(
                f"Jenkins at {self.server.url} does not let {self.server.user} ask for {what} ({status})",
                hint=f"is the token in {self.server.token_file} valid, and is {self.server.user} named in the folder?",
                wait_s=DENIED_S,
            )
        if status == 404:
            return self.missing(what)
        hints = {409: "the job is disabled: `pipeline jenkins sync`", 400: "`pipeline jenkins sync` mends its jobs"}
        return InfrastructureError(
            f"Jenkins at {self.server.url} refused {what} with {status}{': ' + one_line(said) if said else ''}",
            hint=hints.get(status, "its log says more"),
        )

    def missing(self, what: str) -> MissingError:
        return MissingError(
            f"Jenkins at {self.server.url} has no {what}", hint="`pipeline jenkins sync` makes its jobs"
        )

    def away(self, how: str) -> AwayError:
        return AwayError(f"Jenkins at {self.server.url} {how}", hint="nothing is lost; it is asked again")


@contextmanager
def without_proxy_bundle(ca_file: Path | None) -> Iterator[None]:
    """REQUESTS_CA_BUNDLE goes before a session's own authority (requests issue 3829): not where staff named one."""
    kept = os.environ.pop("REQUESTS_CA_BUNDLE", None) if ca_file else None
    try:
        yield
    finally:
        if kept is not None:
            os.environ["REQUESTS_CA_BUNDLE"] = kept


def job_path(name: str) -> str:
    """`ml/mnist-ada` -> `job/ml/job/mnist-ada`"""
    return "/".join(f"job/{quote(part, safe='')}" for part in name.split("/"))


def queue_number(answer: requests.Response) -> int:
    """Of the queue item that 201 (queued) and 303 (one like it waits already) both name. Raises InfrastructureError."""
    found = QUEUE_ITEM.search(answer.headers.get("Location", ""))
    if answer.status_code not in {201, 303} or not found:
        raise InfrastructureError(
            f"Jenkins answered {answer.status_code} to a build, and named no queue item", hint="its log says more"
        )
    return int(found[1])
