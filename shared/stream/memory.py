"""The log in memory: topics, partitions, consumer groups. For tests and backtests; passes the log's contract suite."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from shared.domain.errors import Misconfigured
from shared.stream.memory_group import MemoryGroup, MemoryMember
from shared.stream.ports import Batch, Message, Processor, Record

__all__ = ["MemoryLog", "MemoryMember", "MemoryPublisher", "MemoryReader"]


class MemoryLog:
    """Topics exist by being used, with `partitions` partitions unless created. Times come with the messages."""

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = partitions
        self._counts: dict[str, int] = {}
        self._records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._groups: dict[tuple[str, str], MemoryGroup] = {}
        self._appended = asyncio.Condition()

    def create(self, topic: str, partitions: int) -> None:
        """Give a topic another number of partitions than the log's."""
        self._counts[topic] = partitions

    def counts(self) -> dict[str, int]:
        """The topics that were created, and their partitions."""
        return dict(self._counts)

    def partitions_of(self, topic: str) -> int:
        return self._counts.get(topic, self._partitions)

    async def append(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        """Append in order; the offset of the first. Raises ValueError without any."""
        if not messages:
            raise ValueError("nothing to publish: there is no first offset")
        records = self._of(topic, partition)
        first = len(records)
        for offset, message in enumerate(messages, first):
            records.append(Record(offset, message.timestamp or 0, message.key, message.value, message.headers))
        async with self._appended:
            self._appended.notify_all()
        return first

    def records(self, topic: str, partition: int = 0) -> Sequence[Record]:
        """What a partition holds, for assertions."""
        return tuple(self._of(topic, partition))

    def end(self, topic: str, partition: int) -> int:
        return len(self._of(topic, partition))

    def fetch(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None:
        """At most `limit` records from `offset` on, or None if there are none."""
        records = self._of(topic, partition)
        if offset > len(records):
            raise Misconfigured(f"Offset {offset} lies beyond the end {len(records)} of {topic}/{partition}")
        taken = records[offset : offset + limit]
        return Batch(topic, partition, taken, len(records)) if taken else None

    async def wait_beyond(self, topic: str, partition: int, offset: int) -> None:
        """Return when the partition has a record at `offset`."""
        async with self._appended:
            await self._appended.wait_for(lambda: self.end(topic, partition) > offset)

    async def wait_for_append(self) -> None:
        """Return at the next append to any topic."""
        async with self._appended:
            await self._appended.wait()

    def group(self, name: str, topic: str) -> MemoryGroup:
        """The consumer group `name` on `topic`: its committed offsets and its members."""
        key = (name, topic)
        if key not in self._groups:
            self._groups[key] = MemoryGroup(self, topic)
        return self._groups[key]

    def members_of(self, name: str) -> list[str]:
        """Those that belong to the groups of this name, by the topic they read."""
        return [topic for (group, topic), found in self._groups.items() if group == name for _ in found.members]

    def member(self, topic: str, processor: Processor, group: str = "group") -> MemoryMember:
        return MemoryMember(self.group(group, topic), processor)

    def publisher(self) -> MemoryPublisher:
        return MemoryPublisher(self)

    def reader(self) -> MemoryReader:
        return MemoryReader(self)

    def _of(self, topic: str, partition: int) -> list[Record]:
        if not 0 <= partition < self.partitions_of(topic):
            raise Misconfigured(f"Topic {topic} has no partition {partition}")
        return self._records[topic, partition]


class MemoryPublisher:
    """Publisher on a MemoryLog."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        return await self._log.append(topic, partition, messages)

    async def close(self) -> None:
        return None


class MemoryReader:
    """LogReader on a MemoryLog."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, self._log.end(topic, partition)

    async def read(self, topic: str, partition: int, offset: int, *, follow: bool) -> AsyncIterator[Record]:
        end = self._log.end(topic, partition)
        if offset > end:
            raise Misconfigured(f"Offset {offset} lies beyond the end {end} of {topic}/{partition}")
        while follow or offset < end:
            await self._log.wait_beyond(topic, partition, offset)
            yield self._log.records(topic, partition)[offset]
            offset += 1

    async def close(self) -> None:
        return None
