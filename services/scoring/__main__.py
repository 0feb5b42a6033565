"""`rapport scoring`: folds interactions into relationship state, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import uvloop

from services.scoring.processor import Scoring
from shared.clock import new_id, now_ms
from shared.domain.engine import Terms
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.events import DAY, SECOND
from shared.playbooks.loader import load_playbook
from shared.probes import Ready, probe_app, serving
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import Store
from shared.stream.member import KafkaMember
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS
from shared.telemetry import Metrics, configure_logging, logger

GROUP = "rapport-scoring"


def main() -> None:
    """Run until told to stop; whatever goes wrong ends the process with a status that is not 0."""
    settings = Settings()
    configure_logging("scoring", settings.log_level, settings.log_format)
    try:
        uvloop.run(serve(settings))
    except Misconfigured as error:  # its message says what to do: a traceback would only hide it
        logger().error("misconfigured", detail=str(error))
        sys.exit(1)


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics = Metrics("scoring")
    store = open_store(settings)
    publisher = KafkaPublisher(settings.kafka)
    processor = Scoring(
        store,
        publisher,
        terms(settings),
        metrics,
        now_ms,
        partitions=settings.partitions,
        writer=new_id(),
        cache=settings.cache_relationships,
    )
    member = KafkaMember(
        bootstrap=settings.kafka,
        group=GROUP,
        topic=INTERACTIONS,
        processor=processor,
        instance=settings.instance,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )
    gc.freeze()  # what is there from the start need not be looked at again
    try:
        await store.prepare()
        async with serving(probe_app(metrics.registry, _ready(member, store)), settings.host, settings.metrics_port):
            await run(member)
    finally:
        await publisher.close()
        await store.close()


def terms(settings: Settings) -> Terms:
    """What the engine goes by, from the settings."""
    playbook = load_playbook(settings.playbook or None)
    return Terms(playbook, settings.evaluation_seconds * SECOND, settings.dedup_days * DAY)


async def run(member: KafkaMember) -> None:
    """Until a signal comes; then flush, commit and leave the group."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    running = loop.create_task(member.run(), name="scoring")
    waiting = loop.create_task(told.wait(), name="signal")
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await member.stop()
    await running
    logger().info("stopped")


def _ready(member: KafkaMember, store: Store) -> Ready:
    async def missing() -> str:
        if not member.partitions:
            return "no partitions yet: waiting for the consumer group"
        try:
            await store.ping()
        except Unavailable as error:
            return f"the store does not answer: {error}"
        return ""

    return missing


if __name__ == "__main__":
    main()
