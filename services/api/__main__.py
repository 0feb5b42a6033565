"""`rapport api`: REST, live streams and the dashboard, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from services.api.app import build_app
from services.api.deps import Deps, make_deps
from shared.clock import now_ms
from shared.domain.errors import Unavailable
from shared.entry import Server, listening, main, serve_http, told_to_stop, until_told
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import Store
from shared.stream.publisher import KafkaPublisher
from shared.stream.reader import KafkaReader
from shared.telemetry import logger, of_process

GRACE_SECONDS = 5  # for requests under way when told to stop; streams end at once
RETRY_SECONDS = 0.5


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    with listening(settings.host, settings.api_port, "RAPPORT_API_PORT") as listener:
        store = open_store(settings)
        publisher, reader = KafkaPublisher(settings.kafka), KafkaReader(settings.kafka)
        try:
            await run(make_deps(store, publisher, reader, settings, now_ms), listener)
        finally:
            await reader.close()
            await publisher.close()
            await store.close()


async def run(deps: Deps, listener: socket.socket) -> None:
    """Until a signal comes or a part fails; then streams end, requests under way finish, and all stop."""
    stop = told_to_stop()
    of_process(deps.metrics)
    app = build_app(deps)
    server = _server(app)
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(deps.feed.run(), name="feed"),
            group.create_task(_prepare(deps.store), name="indexes"),
        ]
        if app.state.desks is not None:
            background.append(group.create_task(app.state.desks.run(), name="dashboard"))
        http = group.create_task(serve_http(server, listener), name="http")
        logger().info("listening", host=deps.settings.host, port=listener.getsockname()[1])
        await until_told(stop, http, background[0])
        logger().info("stopping")
        deps.feed.stop()
        server.should_exit = True
        await http
        for task in background:
            task.cancel()
    logger().info("stopped")


def _server(app: FastAPI) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http="httptools",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


async def _prepare(store: Store) -> None:
    """Create missing indexes as soon as the store answers."""
    while True:
        try:
            await store.prepare()
            return
        except Unavailable as error:
            logger().warning("the store does not answer yet, trying again", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main("api", serve)
