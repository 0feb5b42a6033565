"""The broker as whoever changes its topics sees it: partition counts, and how far the consumer groups have come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError

from shared.stream.admin import connected, grow_topic, partition_counts
from shared.stream.reader import FETCH_WAIT_MS

ANSWER_SECONDS = 30.0
_NOT_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


class Position(msgspec.Struct, frozen=True):
    """How far a group has come on a partition that holds the offsets from `first` to before `end`."""

    partition: int
    first: int
    end: int
    committed: int | None = None  # None: it has committed nothing yet, and would begin with the first

    @property
    def next(self) -> int:
        """The offset that it reads next."""
        return self.first if self.committed is None else max(self.committed, self.first)

    @property
    def left(self) -> int:
        """Records that it has not finished with."""
        return max(0, self.end - self.next)


class Cluster(Protocol):
    """What growing needs of the log. Everything raises Unavailable where no broker answers."""

    async def counts(self) -> Mapping[str, int]:
        """Every topic and its partitions."""
        ...

    async def positions(self, group: str, topic: str) -> list[Position]:
        """How far the group has come on each partition of the topic, in their order."""
        ...

    async def members(self, group: str) -> list[str]:
        """Who belongs to the group at the moment, for people to read; empty where there is no such group."""
        ...

    async def grow(self, topic: str, partitions: int) -> None:
        """Add partitions behind the present ones, up to this count. Raises Misconfigured where the broker cannot."""
        ...


class KafkaCluster:
    """Cluster on Kafka; every call has a connection of its own."""

    def __init__(self, bootstrap: str, *, timeout: float = ANSWER_SECONDS) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout

    async def counts(self) -> Mapping[str, int]:
        return await partition_counts(self._bootstrap, timeout=self._timeout)

    async def positions(self, group: str, topic: str) -> list[Position]:
        count = (await self.counts())[topic]
        places = [TopicPartition(topic, number) for number in range(count)]
        async with connected(self._bootstrap, self._timeout) as admin:
            committed = await _committed(admin, group, places)
            async with self._reading(places) as consumer:
                firsts = await consumer.beginning_offsets(places)
                ends = await _ends(consumer, places)
        return [Position(p.partition, int(firsts[p]), ends[p], committed.get(p)) for p in places]

    async def members(self, group: str) -> list[str]:
        async with connected(self._bootstrap, self._timeout) as admin:
            await _coordinator(admin, group)
            [answer] = await admin.describe_consumer_groups([group])
        named = ((member_id, host) for *_, members in answer.groups for member_id, _, host, *_ in members)
        return [f"{member_id} at {host}" if host else member_id for member_id, host in named]

    async def grow(self, topic: str, partitions: int) -> None:
        await grow_topic(self._bootstrap, topic, partitions, timeout=self._timeout)

    @asynccontextmanager
    async def _reading(self, places: list[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
            consumer.assign(places)
            yield consumer
        finally:
            await consumer.stop()


async def _coordinator(admin: AIOKafkaAdminClient, group: str) -> int:
    """Which broker knows the group; waits where the brokers are about to agree on that."""
    while True:
        try:
            return int(await admin.find_coordinator(group))
        except _NOT_YET:
            await asyncio.sleep(0.1)


async def _committed(admin: AIOKafkaAdminClient, group: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    coordinator = await _coordinator(admin, group)
    found = await admin.list_consumer_group_offsets(group, coordinator, places)
    return {place: int(known.offset) for place, known in found.items() if known.offset >= 0}


async def _ends(consumer: Any, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """High watermarks as fetches tell them: what ListOffsets says may lie before the last batch's end."""
    listed = await consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, listed[place])
    ends: dict[TopicPartition, int | None] = dict.fromkeys(places)
    while any(end is None or end < listed[place] for place, end in ends.items()):
        await consumer.getmany(timeout_ms=FETCH_WAIT_MS)
        ends = {place: consumer.highwater(place) for place in places}
    return {place: int(end) for place, end in ends.items() if end is not None}
