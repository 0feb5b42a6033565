"""The month over Kafka's protocol: a member of a consumer group keeps up by itself while simulated time goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.stream.member import KafkaMember
from shared.stream.ports import Record
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, UPDATES
from tests.eventually import eventually
from tests.scoring.living import World, told
from tests.scoring.month import GUARD, Steps, terms
from tests.scoring.picture import Picture, stored
from tests.servers import reset_topics

PARTITIONS = 2
WITHIN = 60.0  # seconds for a step, which takes less than one on an idle machine
HEARD_MS = 300  # a fetch of what is told may wait for so long: it is asked for only in the end
TICK = 10  # ms of simulated time that pass between two looks while something that is due waits for the clock


class OnBroker:
    """Appends step by step; batches and flushes fall as they fall."""

    def __init__(self, bootstrap: str, session_ms: int) -> None:
        """A member is given up after a session; the embedded broker waits for half of one before the first joins."""
        self._bootstrap = bootstrap
        self._session_ms = session_ms
        self.world = World(KafkaPublisher(bootstrap), terms(), PARTITIONS)
        self._scoring = self.world.scoring()
        self._updates: list[Record] = []
        self._heard: dict[int, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def live(self, steps: Steps, dates: Sequence[int]) -> Picture:
        """Live through these steps; what has become of it."""
        await reset_topics(self._bootstrap, PARTITIONS)
        await self.world.prepare()
        async with self._running():
            for events, end in steps:
                await self.world.pass_to(end, events)
                await eventually(self._read, within=WITHIN)
                if end in dates:
                    await eventually(self._settled, within=WITHIN)
                    await self.world.look(end)
            await eventually(self._told, within=WITHIN)
        return await stored(self.world.store, told(self._updates), self.world.keys, self.world.scores)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        member = KafkaMember(
            bootstrap=self._bootstrap,
            group=f"month-{uuid4().hex[:8]}",
            topic=INTERACTIONS,
            processor=self._scoring,
            partitions=PARTITIONS,
            flush_min_ms=20,
            session_timeout_ms=self._session_ms,
            fetch_wait_ms=20,
        )
        self._tasks = [running, hearing] = [asyncio.create_task(member.run()), asyncio.create_task(self._hear())]
        try:
            yield
        finally:
            await member.stop()
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await running
            await self.world.tape.close()

    async def _hear(self) -> None:
        """Read what is told while it is told: brokers drop records of this age."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, fetch_max_wait_ms=HEARD_MS
        )
        await consumer.start()
        try:
            places = [TopicPartition(UPDATES, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            async for one in consumer:
                self._heard[one.partition] = one.offset + 1
                self._updates.append(Record(one.offset, one.timestamp, one.key, one.value))
        finally:
            await consumer.stop()

    async def _read(self) -> bool:
        """Whether everything has been read, clock records of all that is due among it."""
        for task in self._tasks:
            if task.done():
                task.result()
        world = self.world
        if world.tape.under_way or self._scoring.read != world.tape.ends_of(INTERACTIONS) or self._scoring.behind:
            return False
        return await self._clocked(world.step)

    async def _settled(self) -> bool:
        """Whether that has been stored as well, and nothing is due."""
        return await self._read() and self._scoring.scored == self._scoring.read and await self._clocked(self.world.now)

    async def _clocked(self, upto: int) -> bool:
        world = self.world
        due = await world.store.earliest_due(range(PARTITIONS))
        if all(at > upto or world.tape.clocks[number] >= upto for number, at in due.items()):
            return True
        world.now = min(world.now + TICK, world.step + GUARD)
        return False

    async def _told(self) -> bool:
        return self._heard == self.world.tape.ends_of(UPDATES)
