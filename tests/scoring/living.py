"""The month as it is lived: events come step by step, the clock goes on, and scoring keeps up by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from services.scoring.processor import Scoring
from shared import wire
from shared.domain.contract.events import Interaction, Millis, relationship_key
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import FlagChange, UpdateBatch
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation
from shared.stream.frames import CLOCK, RECORD_HEADER, events_messages
from shared.stream.ports import Batch, Message, Publisher, Record
from shared.stream.topics import INTERACTIONS, QUARANTINE, partition_of
from shared.telemetry import Metrics
from tests.scoring.month import TENANT
from tests.scoring.picture import Fields, note_scores, stored_scores

INCARNATION = "one"


class Tape:
    """A publisher that notes how far it has got in each partition, and up to when the clock records reach."""

    def __init__(self, real: Publisher) -> None:
        self._real = real
        self.under_way = 0
        self.ends: dict[tuple[str, int], int] = {}
        self.clocks: dict[int, Millis] = defaultdict(int)

    def ends_of(self, topic: str) -> dict[int, int]:
        """By partition of a topic that anything was appended to: its end."""
        return {partition: end for (name, partition), end in self.ends.items() if name == topic}

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        self.under_way += 1
        try:
            first = await self._real.publish(topic, partition, messages)
        finally:
            self.under_way -= 1
        self.ends[topic, partition] = first + len(messages)
        if (RECORD_HEADER, CLOCK) in messages[0].headers:
            self.clocks[partition] = messages[0].timestamp or 0
        return first

    async def close(self) -> None:
        await self._real.close()


class Watched(Scoring):
    """Scoring of which it is known how far it has read."""

    read: dict[int, int]

    async def apply(self, batch: Batch) -> int:
        events = await super().apply(batch)
        self.read[batch.partition] = batch.records[-1].offset + 1
        return events


class World:
    """A store, a clock, and a log. `now` is the simulated moment, `step` the end of the step that it lies in or after.

    `keys` are the relationships that anything has been said of.
    """

    def __init__(self, publisher: Publisher, terms: Terms, partitions: int, memory: int = 1 << 30) -> None:
        self.now: Millis = 0
        self.step: Millis = 0
        self.keys: set[str] = set()
        self.scores: dict[str, Fields] = {}
        self.partitions = partitions
        self.tape = Tape(publisher)
        self.store = MemoryStore()
        self.metrics = Metrics("scoring")
        self._terms = terms
        self._memory = memory
        self._workers = 0

    async def prepare(self) -> None:
        """Before the first worker."""
        await self.store.set_incarnation(Incarnation(INTERACTIONS, INCARNATION, self.partitions))

    def scoring(self) -> Watched:
        """One more worker's processor."""
        self._workers += 1
        scoring = Watched(
            self.store,
            self.tape,
            self._terms,
            self.metrics,
            lambda: self.now,
            partitions=self.partitions,
            writer=f"w{self._workers}",
            memory=self._memory,
        )
        scoring.read = {}
        return scoring

    async def pass_to(self, end: Millis, events: Sequence[Interaction]) -> None:
        """A step: events are appended to their partitions, each received at its own time, then the clock goes on."""
        messages: dict[int, list[Message]] = defaultdict(list)
        for event in events:
            id = relationship_key(TENANT, event.relationship)
            self.keys.add(id)
            key = id.encode()
            messages[partition_of(key, self.partitions)] += events_messages([event], INCARNATION, event.time)
        for partition, some in messages.items():
            await self.tape.publish(INTERACTIONS, partition, some)
        self.step = self.now = end

    async def look(self, at: Millis) -> None:
        """Note the scores as of this moment that what is stored makes."""
        note_scores(self.scores, await stored_scores(self.store, self._terms, sorted(self.keys), at))

    @property
    def quarantined(self) -> int:
        """Records that could not be applied."""
        return self.tape.ends.get((QUARANTINE, 0), 0)


def told(records: Iterable[Record]) -> Iterator[tuple[str, FlagChange]]:
    """The flag changes in records of `rapport.updates`, as they were told."""
    for record in records:
        for update in wire.decode(record.value, UpdateBatch).updates:
            for change in update.changes:
                yield update.relationship, change
