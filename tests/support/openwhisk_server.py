"""Serves the embedded OpenWhisk with plain containers until it is ended: `python -m support.openwhisk_server STATE`.

Reads {"settings": {...}, "images": {reference: command}} from standard input, prints {"port", "auth"} when it answers.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from pipeline.embedded.openwhisk.server import OpenWhisk
from pipeline.embedded.openwhisk.settings import Keep, Settings
from support.plain_maker import PlainMaker


async def main() -> None:
    config = json.load(sys.stdin)
    images = config["images"]
    maker = PlainMaker(images, images.get("python:3", ()))
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in config["settings"].items()}
    if "keep" in settings:
        settings["keep"] = Keep(**settings["keep"])
    service = OpenWhisk(Path(sys.argv[1]), maker, Settings(**settings))
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
