"""`rapport scoring`: folds interactions into relationship state, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib

from services.scoring.garbage import Garbage
from services.scoring.processor import Scoring
from shared.clock import new_id, now_ms
from shared.domain.contract.events import SECOND
from shared.domain.engine.evaluation import warm_up
from shared.domain.engine.terms import Terms
from shared.domain.errors import Unavailable
from shared.entry import as_far_as_possible, main, told_to_stop, until_told
from shared.patience import pause_unless
from shared.playbooks.loader import load_playbook
from shared.probes import Ready, probe_app, serving
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import Store
from shared.stream.member import KafkaMember
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, SCORING_GROUP
from shared.telemetry import Metrics, logger, of_process

LAST_FLUSH_SECONDS = 6.0  # where the log ends with its broker, which waits to be stopped


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics, stop = of_process(Metrics("scoring")), told_to_stop()
    going_by = terms(settings)
    store = open_store(settings)
    publisher = KafkaPublisher(settings.kafka)
    processor = Scoring(
        store,
        publisher,
        going_by,
        metrics,
        now_ms,
        partitions=settings.partitions,
        writer=new_id(),
        memory=settings.memory_mb << 20,
        pause=pause_unless(stop),
        garbage=Garbage(),
    )
    member = KafkaMember(
        bootstrap=settings.kafka,
        group=SCORING_GROUP,
        topic=INTERACTIONS,
        processor=processor,
        partitions=settings.partitions,
        instance=settings.instance,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )
    try:
        await store.prepare()
        async with contextlib.AsyncExitStack() as opened:
            if settings.metrics_port:
                probes = probe_app(metrics.registry, _ready(member, store))
                await opened.enter_async_context(serving(probes, settings.host, settings.metrics_port))
            await asyncio.to_thread(warm_up, going_by)
            await run(member, stop, settings.drain_seconds)
    finally:
        # Should the broker be gone for good, this and what ingest says of itself tell what went with it.
        logger().info("stopped", topic=INTERACTIONS, scored_up_to=processor.scored)
        await publisher.close()
        await store.close()


def terms(settings: Settings) -> Terms:
    """What the engine goes by, from the settings."""
    playbook = load_playbook(settings.playbook or None)
    return Terms(playbook, settings.evaluation_seconds * SECOND, settings.dedup_days)


async def run(member: KafkaMember, stop: asyncio.Event, drain: float) -> None:
    """Until told to stop; then flush, commit and leave the group. What cannot be flushed then is read again."""
    running = asyncio.create_task(as_far_as_possible(member.run(), stop), name="scoring")
    await until_told(stop, running)
    if drain and not running.done() and (left := await member.drained(drain)):
        logger().warning("undrained", topic=INTERACTIONS, left=left, effect="lost if the broker forgets its log")
    await member.stop(LAST_FLUSH_SECONDS if drain else None)
    await running


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
    main("scoring", serve)
