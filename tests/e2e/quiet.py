"""The quiet run: one worker reads the same log from its beginning, undisturbed, into a store of its own.

What it would tell, and the clock records it would append, go to a log in memory: the one it reads stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.alerts import app as alerts
from services.scoring.__main__ import terms
from services.scoring.processor import Scoring
from shared.clock import now_ms
from shared.domain.playbooks.model import ChannelName
from shared.embedded import mongo
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.process import running
from shared.settings import Settings
from shared.storage.mongo import MongoStore
from shared.stream.admin import ALL
from shared.stream.member import KafkaMember
from shared.stream.memory import MemoryLog
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics
from tests.e2e.cluster import DATABASE, PARTITIONS, SESSION_MS, WITHIN, Cluster, committed, ends, until

ALL_AT_ONCE = 1_000_000


class Quiet:
    """One worker, one store; `read` may be called again after the topic was made anew."""

    def __init__(self, store: MongoStore) -> None:
        self.store = store
        self._runs = 0

    async def read(self, cluster: Cluster) -> None:
        """Everything that is in the log now, and all alerts that come of it."""
        for topic in ALL:
            incarnation = await cluster.store.incarnation(topic)
            assert incarnation is not None
            await self.store.set_incarnation(incarnation)
        self._runs += 1
        told = MemoryLog(PARTITIONS)
        await self._score(cluster, told, f"quiet-{self._runs}")
        await self._alert(cluster.settings(), told)

    async def _score(self, cluster: Cluster, told: MemoryLog, group: str) -> None:
        settings = cluster.settings()
        scoring = Scoring(
            self.store,
            told.publisher(),
            terms(settings),
            Metrics("scoring"),
            now_ms,
            partitions=PARTITIONS,
            writer=group,
            memory=settings.memory_mb << 20,
        )
        member = KafkaMember(
            bootstrap=cluster.bootstrap,
            group=group,
            topic=INTERACTIONS,
            processor=scoring,
            session_timeout_ms=SESSION_MS,
        )
        end = await ends(cluster.bootstrap, INTERACTIONS)
        running = asyncio.create_task(member.run())

        async def over() -> bool:
            if running.done():
                running.result()
            return await committed(cluster.bootstrap, group, INTERACTIONS) == end

        try:
            await until(over, "the quiet worker has read everything")
        finally:
            await member.stop()
            await running

    async def _alert(self, settings: Settings, told: MemoryLog) -> None:
        channels = alerts.open_channels(settings)
        assert set(channels) == {ChannelName.LOG}
        parts = alerts.build(settings, self.store, told.publisher(), channels, Metrics("alerts"), now_ms)
        for partition in range(PARTITIONS):
            if batch := told.fetch(UPDATES, partition, 0, ALL_AT_ONCE):
                await parts.processor.apply(batch)
        await parts.processor.flush()


@asynccontextmanager
async def quiet(cluster: Cluster, here: Path) -> AsyncIterator[Quiet]:
    """With a store of its own, empty at first."""
    port = free_port()
    async with running(mongo.launch(port, here), cluster.journal, WITHIN):
        store = MongoStore(f"mongodb://{LOOPBACK}:{port}", DATABASE)
        try:
            await store.prepare()
            yield Quiet(store)
        finally:
            await store.close()
