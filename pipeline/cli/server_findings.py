"""What `pipeline doctor --course FILE` looks at: each server that the course's settings name, asked with its own key.

Each look is one function that raises nothing. No finding shows what a key file holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from pipeline.backends.functions import Action, ActionLimits
from pipeline.backends.functions.openwhisk import OpenWhiskClient, base_url
from pipeline.cli.findings import Finding, State
from pipeline.embedded.sockets import tcp_listener
from pipeline.errors import CourseError, PipelineError
from pipeline.settings import Assignment, Course, Servers

ANSWER_S = 10
OTHERS_MAY_READ = 0o077
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def server_findings(course: Course) -> list[Finding]:
    """All servers that are not embedded, in the order in which a run needs them."""
    servers = course.servers
    found: list[Finding] = []
    if servers.registry is not None:
        found.append(registry(servers))
    if servers.store_endpoint is not None:
        found.append(store(course))
    if servers.apihost is not None:
        found += [*openwhisk(course), own_address(servers)]
    return [*found, *key_files(servers)]


def openwhisk(course: Course) -> Iterable[Finding]:
    """Whether it answers, takes the key, and allows what the assignments ask for."""
    servers = course.servers
    assert servers.apihost and servers.auth_file, "asked only where they are named"
    try:
        auth = servers.auth_file.read_text().strip()
        client = OpenWhiskClient(servers.apihost, auth, ca_file=servers.ca_file, insecure=servers.insecure)
        limits = client.server_limits()
    except PipelineError as error:
        yield Finding("OpenWhisk", State.MISSING, error.message, error.hint)
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Finding("OpenWhisk", State.MISSING, f"its key cannot be read: {error}", "check servers.auth_file")
        return
    minute, at_once = limits.get("actions_per_minute"), limits.get("concurrent_actions")
    where = base_url(servers.apihost)
    yield Finding("OpenWhisk", State.OK, f"{where} takes the key: {minute} invocations a minute, {at_once} at once")
    if servers.insecure or where.startswith("http://"):
        yield Finding("OpenWhisk", State.NOTE, "anybody in between could read its key", "https and servers.ca_file")
    for assignment in course.assignments:
        yield from allowed(assignment, limits, at_once)


def allowed(assignment: Assignment, limits: Mapping[str, Any], at_once: Any) -> Iterable[Finding]:
    from pipeline.stages.register import require

    asked = assignment.limits
    action = Action(assignment.name, "", ActionLimits(asked.memory_mb, asked.timeout_s, asked.logs_mb))
    try:
        require(action, limits)
    except CourseError as error:
        yield Finding("limits", State.MISSING, error.message, error.hint)
    wanted = assignment.job.at_once
    if isinstance(at_once, int) and wanted > at_once:
        detail = f"{assignment.name} has {wanted} functions at a time, OpenWhisk runs {at_once}: the others come later"
        yield Finding("limits", State.NOTE, detail, "fewer workers, or have its operator allow more")


def own_address(servers: Servers) -> Finding:
    """Whether this machine can listen where that OpenWhisk's containers are sent."""
    bind = servers.bind or servers.advertise or ""
    try:
        tcp_listener(bind, 0).close()
    except (PipelineError, OSError) as error:
        todo = "servers.bind: an address of this machine; servers.advertise: what containers see of it"
        return Finding("address", State.MISSING, str(error), todo)
    detail = f"containers are sent to {servers.advertise}, ports {servers.ports or 'as they are free'}, on {bind}"
    return Finding("address", State.NOTE, f"{detail}; whether they arrive only a run shows")


def registry(servers: Servers) -> Finding:
    """Whether it answers and takes the credentials, over https or, as engines do for a loopback, without."""
    name = servers.registry or ""
    user, _, password = credentials(servers.registry_auth_file).partition(":")
    reason = ""
    for scheme in ("https", "http"):
        try:
            answer = asked(f"{scheme}://{name.partition('/')[0]}/v2/", user, password)
        except requests.RequestException as error:
            reason = type(error).__name__
            continue
        if answer.ok:
            return Finding("registry", State.OK, f"{name} answers over {scheme} and takes the credentials")
        if answer.status_code in {401, 403}:
            return Finding("registry", State.MISSING, f"{name} refuses the credentials", "servers.registry_auth_file")
        reason = f"HTTP {answer.status_code}"
    return Finding("registry", State.MISSING, f"{name} does not answer as a registry: {reason}", "servers.registry")


def asked(url: str, user: str, password: str) -> requests.Response:
    """The answer to the credentials, fetched as a token where the registry wants one."""
    given = (user, password) if user else None
    answer = requests.get(url, auth=given, timeout=ANSWER_S)
    challenge = answer.headers.get("WWW-Authenticate", "")
    if answer.status_code != 401 or not challenge.lower().startswith("bearer"):
        return answer
    named = dict(CHALLENGE.findall(challenge))
    return requests.get(named.get("realm", url), {"service": named.get("service", "")}, auth=given, timeout=ANSWER_S)


def credentials(file: Path | None) -> str:
    try:
        return file.read_text().strip() if file is not None else ""
    except (OSError, UnicodeDecodeError):
        return ""


def store(course: Course) -> Finding:
    """Whether it answers, and gives the course's key temporary ones for runs."""
    from pipeline.backends.store.external import external_store, run_bucket

    try:
        external_store(course.servers).key_for(run_bucket(course.name, "doctor"), timedelta(hours=1))
    except PipelineError as error:
        return Finding("store", State.MISSING, error.message, error.hint)
    return Finding("store", State.OK, f"{course.servers.store_endpoint} takes the key and gives runs their own")


def key_files(servers: Servers) -> Iterable[Finding]:
    """Files of keys that others on this machine can read."""
    for name in ("auth_file", "registry_auth_file", "store_auth_file"):
        path: Path | None = getattr(servers, name)
        if path is not None and path.exists() and path.stat().st_mode & OTHERS_MAY_READ:
            yield Finding("keys", State.NOTE, f"others may read {path} of servers.{name}", f"chmod 600 {path}")
