"""`rapport ingest`: takes events in over HTTP and from rapport.inbox, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from functools import partial

import msgspec
import uvicorn
import uvloop

from services.ingest.access import Access
from services.ingest.app import create_app
from services.ingest.brokertopics import check_topics
from services.ingest.endpoint import Events
from services.ingest.inbox import GROUP, Inbox
from services.ingest.intake import Intake
from services.ingest.logidentity import LogIdentity
from services.ingest.outbound import Outbound
from services.ingest.readiness import Readiness
from shared.clock import now_ms
from shared.domain.errors import Misconfigured
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import Store
from shared.stream.member import KafkaMember
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INBOX
from shared.telemetry import Metrics, configure_logging, logger

GRACE_SECONDS = 8  # for requests under way when told to stop


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: it would kill the process with the signal, and we stop more than it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Parts(msgspec.Struct, frozen=True):
    """What runs: the HTTP server, the consumer of the inbox, and what keeps watch over the log."""

    server: Server
    member: KafkaMember
    readiness: Readiness
    identity: LogIdentity


def main() -> None:
    """Run until told to stop; whatever goes wrong ends the process with a status that is not 0."""
    settings = Settings()
    configure_logging("ingest", settings.log_level, settings.log_format)
    wrong: list[str] = []
    try:
        uvloop.run(serve(settings))
    except* Misconfigured as errors:
        wrong = [str(error) for error in errors.exceptions]
    if wrong:  # its message says what to do: a traceback would only hide it
        logger().error("misconfigured", detail=" ".join(wrong))
        sys.exit(1)


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics = Metrics("ingest")
    store = open_store(settings)
    publisher = KafkaPublisher(settings.kafka)
    try:
        await run(build(settings, store, publisher, metrics))
    finally:
        await publisher.close()
        await store.close()


def build(settings: Settings, store: Store, publisher: KafkaPublisher, metrics: Metrics) -> Parts:
    """The parts, connected to each other and to nothing else yet."""
    topics = partial(check_topics, settings.kafka, settings.partitions)
    identity = LogIdentity(store, settings.partitions, metrics, topics)
    access = Access(store, now_ms)
    intake = Intake(
        Outbound(publisher),
        identity,
        metrics,
        now_ms,
        partitions=settings.partitions,
        max_event_bytes=settings.max_event_bytes,
    )
    readiness = Readiness(store, identity, topics, now_ms)
    app = create_app(Events(intake, access, settings.max_batch_bytes), readiness.check, metrics)
    server = Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.ingest_port,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    member = KafkaMember(
        bootstrap=settings.kafka,
        group=GROUP,
        topic=INBOX,
        processor=Inbox(intake, access),
        instance=settings.instance,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )
    return Parts(server, member, readiness, identity)


async def run(parts: Parts) -> None:
    """Until a signal comes or a part fails; then all stop, requests under way first."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(parts.identity.run(), name="log identity")
        server = group.create_task(_serve_http(parts.server), name="http")
        inbox = group.create_task(_read_inbox(parts), name="inbox")
        await _first(stop, server, inbox)
        logger().info("stopping")
        parts.server.should_exit = True
        await parts.member.stop()
        await server
        parts.readiness.stop()
        await inbox
        watch.cancel()
    logger().info("stopped")


async def _first(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _serve_http(server: Server) -> None:
    await server.serve()
    if not server.should_exit:
        raise RuntimeError("the HTTP server ended by itself")


async def _read_inbox(parts: Parts) -> None:
    if await parts.readiness.wait():
        await parts.member.run()


if __name__ == "__main__":
    main()
