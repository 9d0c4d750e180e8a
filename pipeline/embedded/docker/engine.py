"""The docker engine: how it is reached and asked, and in words why it is not."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import docker
import docker.errors

from pipeline.errors import InfrastructureError

ANSWER_S = 120
"""A machine under load takes its time to start containers."""
AT_ONCE = 24
ENGINE_ERRORS = (docker.errors.DockerException, OSError)
"""All that asking the engine raises: requests' errors are OSErrors."""

P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """An engine that answers. Its calls block, so they are made in threads of their own."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.api = client.api
        self.info: dict[str, Any] = client.info()
        self.threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="docker")

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One call. Raises ENGINE_ERRORS."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *args, **kwargs))

    @property
    def machine(self) -> str:
        return str(self.info.get("Architecture") or platform.machine())

    def missing(self) -> tuple[str, ...]:
        """Limits and walls that this engine cannot put up."""
        lacking = [text for name, text in LIMITS.items() if self.info.get(name) is False]
        if not any("seccomp" in option for option in self.info.get("SecurityOptions") or ()):
            lacking.append("system calls are not filtered (the engine has no seccomp)")
        return tuple(lacking)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()


LIMITS = {
    "MemoryLimit": "memory is not limited (the engine cannot)",
    "SwapLimit": "swap is not limited (the engine cannot)",
    "PidsLimit": "processes are not limited (the engine cannot)",
}


def connect() -> Engine:
    """The engine that docker's own variables name, else this machine's. Raises InfrastructureError."""
    try:
        return Engine(docker.from_env(timeout=ANSWER_S, max_pool_size=AT_ONCE))
    except ENGINE_ERRORS as error:
        reason, hint = unreachable(error)
        raise InfrastructureError(f"the docker engine does not answer: {reason}", hint=hint) from error


def unreachable(error: BaseException) -> tuple[str, str]:
    """Why, and what to do."""
    text = said(error)
    if "permission denied" in text.lower():
        return "this user may not use its socket", "become a member of the group docker, or use --sandbox process"
    if any(sign in text for sign in ("No such file", "FileNotFound", "Connection refused", "ConnectionRefused")):
        return "it is not running here", "start it (systemctl start docker), or use --sandbox process"
    return text, "see `docker info`; --sandbox process needs no engine"


def said(error: BaseException) -> str:
    """The engine's own words where there are such."""
    return str(getattr(error, "explanation", None) or error)
