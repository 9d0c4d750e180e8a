"""The control API: what only the pipeline may ask of its embedded servers. HTTP and JSON on a Unix socket, 0600."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from pydantic import ValidationError

from pipeline.embedded.contract import Forward, Forwarded, InvocationKey, Invoked, Invoking, Pool, Reach, Usage
from pipeline.errors import PipelineError

log = logging.getLogger(__name__)

LARGEST_REQUEST = 1 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Controlled(Protocol):
    """What the API steers."""

    def status(self) -> dict[str, Any]: ...

    async def set_reach(self, reach: Reach) -> dict[str, str]: ...

    async def open_forwarder(self, forward: Forward) -> Path: ...

    def forwarder_counts(self, name: str) -> Forwarded: ...

    async def close_forwarder(self, name: str) -> None: ...

    async def open_invocations(self, rule: Invoking) -> InvocationKey: ...

    def invoked(self, name: str) -> Invoked: ...

    async def close_invocations(self, name: str) -> None: ...

    def usage(self, namespace: str) -> list[Usage]: ...

    def pool(self) -> Pool: ...

    async def cancel(self, namespace: str) -> int: ...

    def stop(self) -> None: ...


class Control:
    """`/status`, `/reach`, `/forwarder`, `/invocations`, `/usage`, `/pool`, `/cancel`, `/stop`."""

    def __init__(self, controlled: Controlled) -> None:
        self.controlled = controlled
        self.last_request = time.monotonic()
        self.under_way = 0
        self.runner: web.AppRunner | None = None

    async def serve(self, path: Path) -> None:
        """Serves on the socket `path`; one that a killed process left there is replaced."""
        app = web.Application(middlewares=[self.answer_errors], client_max_size=LARGEST_REQUEST)
        app.add_routes(
            [
                web.get("/status", self.status),
                web.put("/reach", self.set_reach),
                web.post("/forwarder", self.open_forwarder),
                web.get("/forwarder/{name}", self.forwarder_counts),
                web.delete("/forwarder/{name}", self.close_forwarder),
                web.post("/invocations", self.open_invocations),
                web.get("/invocations/{name}", self.invoked),
                web.delete("/invocations/{name}", self.close_invocations),
                web.get("/usage", self.usage),
                web.get("/pool", self.pool),
                web.post("/cancel", self.cancel),
                web.post("/stop", self.stop),
            ]
        )
        path.unlink(missing_ok=True)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self.runner.setup()
        await web.UnixSite(self.runner, str(path)).start()
        path.chmod(0o600)

    async def close(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    @property
    def idle_s(self) -> float:
        """Seconds since the last request; 0 while one is under way."""
        return 0.0 if self.under_way else time.monotonic() - self.last_request

    @web.middleware
    async def answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error is an answer with `error` and `hint`; what is no error of ours goes to the log."""
        self.under_way += 1
        try:
            return await handler(request)
        except PipelineError as error:
            return web.json_response({"error": error.message, "hint": error.hint}, status=409)
        except (ValidationError, json.JSONDecodeError, KeyError) as error:
            return web.json_response({"error": f"malformed request to {request.path}: {error}"}, status=400)
        except web.HTTPException as error:
            return web.json_response({"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return web.json_response({"error": f"the embedded servers failed: {type(error).__name__}"}, status=500)
        finally:
            self.under_way -= 1
            self.last_request = time.monotonic()

    async def status(self, _: web.Request) -> web.Response:
        return web.json_response(self.controlled.status())

    async def set_reach(self, request: web.Request) -> web.Response:
        reach = Reach.model_validate_json(await request.read())
        return web.json_response(await self.controlled.set_reach(reach))

    async def open_forwarder(self, request: web.Request) -> web.Response:
        forward = Forward.model_validate_json(await request.read())
        return web.json_response({"socket": str(await self.controlled.open_forwarder(forward))})

    async def forwarder_counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.controlled.forwarder_counts(request.match_info["name"]).model_dump())

    async def close_forwarder(self, request: web.Request) -> web.Response:
        await self.controlled.close_forwarder(request.match_info["name"])
        return web.json_response({})

    async def open_invocations(self, request: web.Request) -> web.Response:
        rule = Invoking.model_validate_json(await request.read())
        return web.json_response((await self.controlled.open_invocations(rule)).model_dump(mode="json"))

    async def invoked(self, request: web.Request) -> web.Response:
        return web.json_response(self.controlled.invoked(request.match_info["name"]).model_dump())

    async def close_invocations(self, request: web.Request) -> web.Response:
        await self.controlled.close_invocations(request.match_info["name"])
        return web.json_response({})

    async def usage(self, request: web.Request) -> web.Response:
        found = self.controlled.usage(request.query["namespace"])
        return web.json_response([one.model_dump(mode="json") for one in found])

    async def pool(self, _: web.Request) -> web.Response:
        return web.json_response(self.controlled.pool().model_dump(mode="json"))

    async def cancel(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"cancelled": await self.controlled.cancel(str(body["namespace"]))})

    async def stop(self, _: web.Request) -> web.Response:
        self.controlled.stop()
        return web.json_response({})
