"""A stage for scoring: a log and a store in memory, a clock that the test moves, events in one line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from services.scoring.processor import Scoring
from shared import wire
from shared.domain.columns.months import cells_of
from shared.domain.contract.events import HOUR, Interaction, Millis, relationship_key
from shared.domain.contract.times import parse_moment
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import FlagChange, UpdateBatch
from shared.domain.relationship.state import RelationshipState
from shared.playbooks.loader import load_playbook
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation
from shared.stream.frames import clock_message, events_messages
from shared.stream.memory import MemoryLog
from shared.stream.memory_group import MemoryMember
from shared.stream.topics import (
    INTERACTIONS,
    QUARANTINE,
    SCORING_GROUP,
    UPDATES,
    partition_of,
)
from shared.telemetry import Metrics

TENANT = "acme"
START = parse_moment("2026-06-01T09:00:00Z")  # a Monday


@dataclass
class Stage:
    """`await stage.say(...)` appends an event; `await stage.settle()` lets scoring read everything there is."""

    partitions: int = 1
    grain: Millis = HOUR
    now: Millis = START
    batch_limit: int = 500
    incarnation: str = "one"
    store: MemoryStore = field(default_factory=MemoryStore)
    count: int = 0
    together: int = 1  # events at most of one record

    def __post_init__(self) -> None:
        self._waiting: list[tuple[int, Millis, Interaction]] = []
        self.new_log()
        self.metrics = Metrics("scoring")
        self.terms = Terms(load_playbook(None), self.grain, 7, phase=lambda id: 0)

    def new_log(self) -> None:
        """An empty log, in place of what there was."""
        self.log = MemoryLog()
        for topic in (INTERACTIONS, UPDATES):
            self.log.create(topic, self.partitions)
        self.log.create(QUARANTINE, 1)

    async def worker(self, writer: str = "w1", **overrides: Any) -> MemoryMember:
        """A scoring worker that has joined the group."""
        await self.store.set_incarnation(Incarnation(INTERACTIONS, self.incarnation, self.partitions))
        scoring = overrides.get("scoring") or self.scoring(writer, **overrides)
        group = self.log.group(SCORING_GROUP, INTERACTIONS)
        return MemoryMember(group, scoring, batch_limit=overrides.get("batch_limit", self.batch_limit))

    def scoring(self, writer: str = "w1", **overrides: Any) -> Scoring:
        """A processor as a worker has one."""
        return Scoring(
            overrides.get("store", self.store),
            overrides.get("publisher", self.log.publisher()),
            self.terms,
            self.metrics,
            overrides.get("clock", lambda: self.now),
            partitions=self.partitions,
            writer=writer,
            memory=overrides.get("memory", 1 << 30),
            pause=overrides.get("pause", asyncio.sleep),
            rate=overrides.get("rate"),
        )

    async def say(
        self,
        type: str,
        relationship: str = "acct-1",
        *,
        at: Millis | None = None,
        id: str = "",
        source: str = "test",
        backfill: bool = False,
        received: Millis | None = None,
        about: str = "",
        **data: Any,
    ) -> str:
        """Append an event to its partition as ingest would (a correction is `about` another event's id); its id."""
        if about:
            data["id"] = about
        self.count += 1
        id = id or f"e{self.count}"
        raw = msgspec.Raw(msgspec.json.encode(data))
        time = self.now if at is None else at
        event = Interaction(TENANT, relationship, id, source, type, time, raw, backfill)
        key = relationship_key(TENANT, relationship).encode()
        self._waiting.append((partition_of(key, self.partitions), self.now if received is None else received, event))
        if len(self._waiting) == self.together or self._waiting[0][:2] != self._waiting[-1][:2]:
            await self.written()
        return id

    async def written(self) -> None:
        """Everything that was said is in the log: what followed one another at one moment, in one record."""
        for (partition, received), said in groupby(self._waiting, key=itemgetter(0, 1)):
            messages = events_messages([event for _, _, event in said], self.incarnation, received)
            await self.log.append(INTERACTIONS, partition, messages)
        self._waiting = []

    async def tick(self, partition: int = 0) -> None:
        """Append a clock record to a partition, as its owner would."""
        await self.written()
        await self.log.append(INTERACTIONS, partition, [clock_message(self.now, self.incarnation)])

    async def state(self, relationship: str = "acct-1") -> RelationshipState:
        """The stored state."""
        states = await self.store.states([relationship_key(TENANT, relationship)])
        return states[relationship_key(TENANT, relationship)]

    async def counts(self, relationship: str = "acct-1") -> dict[tuple[str, str, int], float]:
        """Stored counters by metric, person and day."""
        months = await self.store.months([relationship_key(TENANT, relationship)], "1970-01")
        return {(cell.metric, cell.person, cell.day): cell.count for month in months for cell in cells_of(month)}

    def published(self) -> list[FlagChange]:
        """Flag changes on rapport.updates, each once, in order."""
        return [change for _, change in self._published()]

    def published_of_each(self) -> dict[str, list[FlagChange]]:
        """The same by relationship: between relationships there is no order."""
        found: dict[str, list[FlagChange]] = {}
        for relationship, change in self._published():
            found.setdefault(relationship, []).append(change)
        return found

    def _published(self) -> list[tuple[str, FlagChange]]:
        seen: dict[tuple[Any, ...], tuple[str, FlagChange]] = {}
        for partition in range(self.partitions):
            for record in self.log.records(UPDATES, partition):
                for update in wire.decode(record.value, UpdateBatch).updates:
                    for change in update.changes:
                        key = (update.relationship, msgspec.structs.astuple(change.cause))
                        seen.setdefault(key, (update.relationship, change))
        return list(seen.values())


async def run_clock(stage: Stage, member: MemoryMember, until: Millis, step: Millis = HOUR) -> None:
    """Let time pass: the worker is asked to flush each `step`, appends clock records where due, and reads them."""
    while stage.now < until:
        stage.now = min(stage.now + step, until)
        await member.flush()
        await member.drain()
