"""The broker's side of a MemoryLog: Cluster for tests, held to the contract of the one on Kafka."""

from __future__ import annotations

from collections.abc import Mapping

from shared.stream.cluster import Position
from shared.stream.memory import MemoryLog


class MemoryCluster:
    """Cluster on a MemoryLog; of its topics it knows those that were created."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def counts(self) -> Mapping[str, int]:
        return self._log.counts()

    async def positions(self, group: str, topic: str) -> list[Position]:
        committed = self._log.group(group, topic).committed
        return [
            Position(number, 0, self._log.end(topic, number), committed.get(number))
            for number in range(self._log.partitions_of(topic))
        ]

    async def members(self, group: str) -> list[str]:
        return self._log.members_of(group)

    async def grow(self, topic: str, partitions: int) -> None:
        self._log.create(topic, partitions)
