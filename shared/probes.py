"""/healthz, /readyz and /metrics for services that serve nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.domain.errors import Misconfigured
from shared.entry import Server

GRACE_SECONDS = 1  # for requests under way when told to stop

Ready = Callable[[], Awaitable[str]]
"""Answers with what is still missing, in words; empty when ready."""


def probe_app(registry: CollectorRegistry, ready: Ready) -> FastAPI:
    """The three routes; /readyz answers 503 with what is missing."""
    app = FastAPI(openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        missing = await ready()
        response.status_code = 503 if missing else 200
        return {"status": "not ready", "reason": missing} if missing else {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


@contextlib.asynccontextmanager
async def serving(app: FastAPI, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs, and give the port (0 asks for a free one). Raises Misconfigured if it is taken."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise Misconfigured(
            f"Port {port} of {host} cannot be listened on ({error.strerror}); choose another"
        ) from error
    server = Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=GRACE_SECONDS
        )
    )
    with listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await running
