"""`rapport ingest`: takes events in over HTTP and from rapport.inbox, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import socket
from functools import partial

import msgspec
import uvicorn

from services.ingest.access import Access
from services.ingest.app import create_app
from services.ingest.brokertopics import check_topics
from services.ingest.endpoint import Events
from services.ingest.inbox import Inbox
from services.ingest.intake import Intake
from services.ingest.logidentity import LogIdentity
from services.ingest.outbound import Outbound
from services.ingest.readiness import Readiness
from shared.clock import now_ms
from shared.entry import Server, listening, main, serve_http, told_to_stop, until_told
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import Store
from shared.stream.member import KafkaMember
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INBOX, INGEST_GROUP, INTERACTIONS
from shared.telemetry import Metrics, logger, of_process

GRACE_SECONDS = 8  # for requests under way when told to stop
INBOX_WAIT_MS = 100  # of a fetch: most inboxes are empty, and asking costs something whether anything comes or not


class Parts(msgspec.Struct, frozen=True):
    """What runs: the HTTP server, the consumer of the inbox, and what keeps watch over the log."""

    server: Server
    member: KafkaMember
    readiness: Readiness
    identity: LogIdentity
    outbound: Outbound


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics = of_process(Metrics("ingest"))
    store = open_store(settings)
    publisher = KafkaPublisher(settings.kafka)
    try:
        with listening(settings.host, settings.ingest_port, "RAPPORT_INGEST_PORT") as listener:
            await run(build(settings, store, publisher, metrics), listener)
    finally:
        await publisher.close()
        await store.close()


def build(settings: Settings, store: Store, publisher: KafkaPublisher, metrics: Metrics) -> Parts:
    """The parts, connected to each other and to nothing else yet."""
    topics = partial(check_topics, settings.kafka, settings.partitions)
    identity = LogIdentity(store, settings.partitions, metrics, topics)
    access = Access(store, now_ms)
    outbound = Outbound(publisher)
    intake = Intake(
        outbound,
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
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # nothing here asks where a request came from
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    member = KafkaMember(
        bootstrap=settings.kafka,
        group=INGEST_GROUP,
        topic=INBOX,
        processor=Inbox(intake, access),
        instance=settings.instance,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        fetch_wait_ms=INBOX_WAIT_MS,
        metrics=metrics,
    )
    return Parts(server, member, readiness, identity, outbound)


async def run(parts: Parts, listener: socket.socket) -> None:
    """Until a signal comes or a part fails; then all stop, requests under way first."""
    stop = told_to_stop()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(parts.identity.run(), name="log identity")
        server = group.create_task(serve_http(parts.server, listener), name="http")
        inbox = asyncio.create_task(_read_inbox(parts), name="inbox")  # the group would cancel requests when it fails
        try:
            await until_told(stop, server, inbox)
            logger().info("stopping")
            parts.server.should_exit = True
            await parts.member.stop()
            await server
            parts.readiness.stop()
            await inbox
        finally:
            inbox.cancel()
            await asyncio.wait({inbox})
        watch.cancel()
    # Should the broker be gone for good, this and what scoring says of itself tell what went with it.
    written = {number: end for (topic, number), end in sorted(parts.outbound.written.items()) if topic == INTERACTIONS}
    logger().info("stopped", topic=INTERACTIONS, written_up_to=written)


def spare_collector() -> None:
    """What has been loaded by now stays: going through it again and again took a third of the CPU time of an event, and
    many events under way at a time look like a leak to the default thresholds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _read_inbox(parts: Parts) -> None:
    if await parts.readiness.wait():
        spare_collector()
        await parts.member.run()


if __name__ == "__main__":
    main("ingest", serve)
