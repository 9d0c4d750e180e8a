"""What the server says of itself: limits, runtimes, version, pool and queue, metrics."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pipeline.embedded.openwhisk.actions import DEFAULT_KIND
from pipeline.embedded.openwhisk.errors import unknown_resource
from pipeline.embedded.openwhisk.http import CORS, CORS_OUTSIDE, Call
from pipeline.embedded.openwhisk.settings import MB

if TYPE_CHECKING:
    from pipeline.embedded.openwhisk.server import OpenWhisk

VERSION = {
    "description": "OpenWhisk API",
    "api_version": "1.0.0",
    "api_version_path": "v1",
    "build": "embedded",
    "buildno": "standalone",
    "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
}
DOCS_PAGE = "docs/index.html?url=/api/v1/api-docs"
HTML = "text/html; charset=UTF-8"
PATHS = {
    "/namespaces": ("get",),
    "/namespaces/{namespace}/limits": ("get",),
    "/namespaces/{namespace}/actions": ("get",),
    "/namespaces/{namespace}/actions/{actionName}": ("get", "put", "delete", "post"),
    "/namespaces/{namespace}/activations": ("get",),
    "/namespaces/{namespace}/activations/{activationid}": ("get",),
    "/namespaces/{namespace}/activations/{activationid}/logs": ("get",),
    "/namespaces/{namespace}/activations/{activationid}/result": ("get",),
}


class InfoApi:
    def __init__(self, service: OpenWhisk) -> None:
        self._service = service
        self._settings = service.settings

    def public(self, call: Call) -> web.Response | None:
        """Answers under /api/v1 that need no key; None for all other paths."""
        rest = call.segments[2:]
        if call.method != "GET":
            return None
        if rest in ([], [""]):
            return call.answer(VERSION)
        if rest == ["api-docs"]:
            return call.answer(_swagger())
        if rest == ["docs"]:
            text = f'The request, and all future requests should be repeated using <a href="{DOCS_PAGE}">this URI</a>.'
            headers = {**CORS, "Location": DOCS_PAGE}
            return call.text(text, HTTPStatus.PERMANENT_REDIRECT, headers, media_type=HTML)
        if rest == ["docs", "index.html"]:
            page = "<!DOCTYPE html><title>OpenWhisk API</title><p>See <a href='../api-docs'>api-docs</a>.</p>"
            return call.text(page, HTTPStatus.OK, CORS, media_type=HTML)
        return None

    def outside(self, call: Call) -> web.Response:
        """Answers outside /api/v1."""
        if call.path == "/":
            return call.plain(self._about()) if call.method == "GET" else call.not_allowed("GET, OPTIONS")
        if call.method == "GET":
            match call.path:
                case "/ping":
                    return call.text("pong", HTTPStatus.OK, {})
                case "/pool":
                    return call.answer(self._service.pool().model_dump())
                case "/metrics":
                    return call.text(self._metrics(), HTTPStatus.OK, {}, media_type="text/plain; version=0.0.4")
                case "/invokers":
                    return call.answer({}, headers=CORS_OUTSIDE)
                case "/invokers/healthy/count":
                    return call.answer(0, headers=CORS_OUTSIDE)
        if call.segments[0] == "activation":
            raise unknown_resource()
        return call.not_allowed("OPTIONS")

    def namespace_limits(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "concurrentInvocations": settings.concurrent_invocations,
            "firesPerMinute": settings.invocations_per_minute,
            "invocationsPerMinute": settings.invocations_per_minute,
            "maxActionConcurrency": settings.concurrency[2],
            "maxActionInstances": settings.concurrent_invocations,
            "maxActionLogs": settings.logs_mb[2],
            "maxActionMemory": settings.memory_mb[2],
            "maxActionTimeout": settings.timeout_ms[2],
            "maxParameterSize": f"{settings.parameters_bytes} B",
            "minActionConcurrency": settings.concurrency[0],
            "minActionLogs": settings.logs_mb[0],
            "minActionMemory": settings.memory_mb[0],
            "minActionTimeout": settings.timeout_ms[0],
        }

    def _about(self) -> dict[str, Any]:
        settings = self._settings
        least = {
            "action_duration": settings.timeout_ms[0],
            "action_logs": settings.logs_mb[0] * MB,
            "action_memory": settings.memory_mb[0] * MB,
        }
        most = {
            "action_duration": settings.timeout_ms[2],
            "action_logs": settings.logs_mb[2] * MB,
            "action_memory": settings.memory_mb[2] * MB,
        }
        limits = {
            "actions_per_minute": settings.invocations_per_minute,
            "concurrent_actions": settings.concurrent_invocations,
            "sequence_length": 50,
            "triggers_per_minute": settings.invocations_per_minute,
        }
        for word, values in (("min", least), ("max", most)):
            for name, value in values.items():
                limits[f"{word}_{name}"] = limits[f"default_{word}_{name}"] = value
        runtime = {"kind": DEFAULT_KIND, "attached": True, "default": True, "deprecated": False, "requireMain": False}
        return {
            "api_paths": ["/api/v1"],
            "description": "OpenWhisk",
            "limits": limits,
            "runtimes": {"python": [{**runtime, "image": "embedded"}]},
            "support": {"github": "https://github.com/apache/openwhisk/issues"},
        }

    def _metrics(self) -> str:
        pool = self._service.pool()
        values = {
            "size_mb": pool.size_mb,
            "busy_mb": pool.busy_mb,
            "idle_mb": pool.idle_mb,
            "prewarmed_mb": pool.prewarmed_mb,
            "containers": pool.containers,
            "queue": len(pool.queue),
        }
        lines = (f"# TYPE pool_{name} gauge\npool_{name} {value}\n" for name, value in values.items())
        return "".join(lines)


def _swagger() -> dict[str, Any]:
    done = {"200": {"description": "as in OpenWhisk's own API"}}
    return {
        "swagger": "2.0",
        "info": {"title": "OpenWhisk REST API", "description": "API for OpenWhisk", "version": "0.1.0"},
        "produces": ["application/json"],
        "basePath": "/api/v1",
        "securityDefinitions": {"basicAuth": {"type": "basic"}},
        "security": [{"basicAuth": []}],
        "paths": {path: {method: {"responses": done} for method in methods} for path, methods in PATHS.items()},
    }
