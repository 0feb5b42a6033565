"""The logs that one contract suite is held against: in memory, the embedded broker, real Apache Kafka."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from uuid import uuid4

from shared.stream.admin import create_topics
from shared.stream.member import KafkaMember
from shared.stream.memory import MemoryLog
from shared.stream.ports import GroupMember, LogReader, Processor, Publisher
from shared.stream.publisher import KafkaPublisher
from shared.stream.reader import KafkaReader


class Log(Protocol):
    async def topic(self, partitions: int = 1) -> str:
        """A new, empty topic."""
        ...

    def publisher(self) -> Publisher: ...

    def reader(self) -> LogReader: ...

    def member(self, topic: str, processor: Processor, **options: Any) -> GroupMember: ...

    async def close(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.log = MemoryLog()

    async def topic(self, partitions: int = 1) -> str:
        name = f"topic-{uuid4().hex[:8]}"
        self.log.create(name, partitions)
        return name

    def publisher(self) -> Publisher:
        return self.log.publisher()

    def reader(self) -> LogReader:
        return self.log.reader()

    def member(self, topic: str, processor: Processor, **options: Any) -> GroupMember:
        return self.log.member(topic, processor)

    async def close(self) -> None:
        return None


class OnKafka:
    def __init__(self, bootstrap: str, session_ms: int = 30_000, shortest_ms: int = 6_000) -> None:
        """Members are given up after a session, which is long: a machine may pause. `shortest_ms`: what is allowed.

        The embedded broker waits for that long for members that have left, too.
        """
        self.bootstrap = bootstrap
        self.session_ms = session_ms
        self.shortest_ms = shortest_ms
        self._opened: list[Any] = []

    async def topic(self, partitions: int = 1) -> str:
        name = f"topic-{uuid4().hex[:8]}"
        await create_topics(self.bootstrap, {name: partitions})
        return name

    def publisher(self) -> Publisher:
        return self._keep(KafkaPublisher(self.bootstrap))

    def reader(self) -> LogReader:
        return self._keep(KafkaReader(self.bootstrap))

    def member(self, topic: str, processor: Processor, **options: Any) -> GroupMember:
        return KafkaMember(
            bootstrap=self.bootstrap,
            group=f"group-{topic}",
            topic=topic,
            processor=processor,
            session_timeout_ms=self.session_ms,
            **options,
        )

    async def close(self) -> None:
        for opened in self._opened:
            await opened.close()

    def _keep(self, opened: Any) -> Any:
        self._opened.append(opened)
        return opened


KINDS: dict[str, Callable[[Any], Log]] = {
    "memory": lambda request: InMemory(),
    "embedded broker": lambda request: OnKafka(request.getfixturevalue("tansu_bootstrap"), 4_000, 3_000),
    "Apache Kafka": lambda request: OnKafka(request.getfixturevalue("kafka_bootstrap")),
}
