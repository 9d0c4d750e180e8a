"""Serves the embedded OpenWhisk until it is ended: `python -m support.openwhisk_server STATE`.

Reads {"settings": {...}, "images": {reference: command}} from standard input, prints {"port", "auth"} when it answers.
With "sandbox" the containers are those of that sandbox, and "manifests" says what its references are.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline.embedded.contract import read_manifest
from pipeline.embedded.makers import Makers
from pipeline.embedded.openwhisk.containers import ContainerMaker
from pipeline.embedded.openwhisk.server import OpenWhisk
from pipeline.embedded.openwhisk.settings import Keep, Settings
from pipeline.embedded.settings import EmbeddedSettings, write_private
from pipeline.embedded.state import State
from pipeline.settings import Sandbox
from support.plain_maker import PlainMaker


def settings_of(given: dict[str, Any]) -> Settings:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    keep = {"keep": Keep(**values.pop("keep"))} if "keep" in values else {}
    return Settings(**values, **keep)


@asynccontextmanager
async def maker_of(config: dict[str, Any], folder: Path) -> AsyncIterator[ContainerMaker]:
    if "sandbox" not in config:
        yield PlainMaker(config["images"], config["images"].get("python:3", ()))
        return
    state = State(folder)
    state.create()
    for reference, manifest in config["manifests"].items():
        write_private(state.image_file(reference), read_manifest(json.dumps(manifest)))
    sockets = Path(tempfile.mkdtemp(prefix="ow-", dir="/tmp"))
    makers = Makers(state, sockets, EmbeddedSettings(sandbox=Sandbox(config["sandbox"])))
    try:
        yield makers.maker
    finally:
        await makers.close()
        shutil.rmtree(sockets)


async def main() -> None:
    config = json.load(sys.stdin)
    folder = Path(sys.argv[1])
    async with maker_of(config, folder / "sandbox") as maker:
        service = OpenWhisk(folder, maker, settings_of(config["settings"]))
        await service.start()
        guest = service.namespaces.find("guest")
        assert guest is not None
        capped = service.add_namespace("capped", invocations=2)
        port = await service.serve("127.0.0.1", 0)
        print(json.dumps({"port": port, "auth": guest.auth, "capped": capped.auth}), flush=True)
        end = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
        await end.wait()
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
