"""Watching a running stack from beside it: when states were stored, and what scoring has not worked off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from bench.listening import Key
from shared import wire
from shared.domain.contract.events import Millis
from shared.domain.relationship.flags import UpdateBatch
from shared.stream.cluster import KafkaCluster
from shared.stream.reader import KafkaReader
from shared.stream.topics import INTERACTIONS, SCORING_GROUP, UPDATES

MARK = b"nps_detractor"
SAMPLE_SECONDS = 1.0


class Watch:
    """`stored` grows while `rapport.updates` is read: by alert, when the state it is about was stored (wall ms)."""

    def __init__(self, kafka: str) -> None:
        self._reader = KafkaReader(kafka)
        self._cluster = KafkaCluster(kafka)
        self.stored: dict[Key, Millis] = {}
        self.lag: list[tuple[float, int]] = []  # (perf_counter, records not yet worked off)

    async def read(self, partition: int) -> None:
        """Follow one partition of the updates for ever."""
        _, end = await self._reader.bounds(UPDATES, partition)
        async for record in self._reader.read(UPDATES, partition, end, follow=True):
            if MARK in record.value:
                self._note(wire.decode(record.value, UpdateBatch))

    def _note(self, batch: UpdateBatch) -> None:
        for update in batch.updates:
            for change in update.changes:
                if change.raised:
                    self.stored.setdefault((update.relationship, change.rule, change.subject), batch.stored_at)

    async def unfinished(self) -> int:
        """Records that scoring has not committed."""
        return sum([position.left for position in await self._cluster.positions(SCORING_GROUP, INTERACTIONS)])

    async def written(self) -> int:
        """Records that have ever been written."""
        return sum([position.end for position in await self._cluster.positions(SCORING_GROUP, INTERACTIONS)])

    async def sample(self) -> None:
        """Note every second how much that is, for ever."""
        while True:
            self.lag.append((perf_counter(), await self.unfinished()))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def until_done(self, within: float) -> float:
        """Seconds until nothing is unfinished; TimeoutError after `within`."""
        began = perf_counter()
        async with asyncio.timeout(within):
            while await self.unfinished():
                await asyncio.sleep(0.2)
        return perf_counter() - began

    async def close(self) -> None:
        await self._reader.close()


@asynccontextmanager
async def watching(kafka: str) -> AsyncIterator[Watch]:
    """Reading and sampling while the block runs; what fails in there fails the block."""
    watch = Watch(kafka)
    partitions = len(await KafkaCluster(kafka).positions(SCORING_GROUP, UPDATES))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.read(number)) for number in range(partitions)]
            tasks.append(group.create_task(watch.sample()))
            yield watch
            for task in tasks:
                task.cancel()
    finally:
        await watch.close()
