"""/healthz, /readyz and /metrics for services that serve nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.entry import Server, listening

GRACE_SECONDS = 1  # for requests under way when told to stop

Ready = Callable[[], Awaitable[str]]
"""Answers with what is still missing, in words; empty when ready."""


def probe_app(registry: CollectorRegistry, ready: Ready) -> Starlette:
    """The three routes; /readyz answers 503 with what is missing. Without FastAPI, which takes a quarter of a second
    of a worker's start."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if missing := await ready():
            return JSONResponse({"status": "not ready", "reason": missing}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


@contextlib.asynccontextmanager
async def serving(app: Starlette, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs, and give the port (0 asks for a free one). Raises Passing if it is taken."""
    server = Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=GRACE_SECONDS
        )
    )
    with listening(host, port, "RAPPORT_METRICS_PORT") as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await running
