"""Growing the partition count of `rapport.interactions` in place, while nothing runs. Why so: docs/adr/0070.

The order is what makes a crash harmless at every point; the command is simply given again:

1. nobody runs and nothing is left, else it is refused; 2. the topics get their new partitions, and 1 is asked once
more, since from here on ingest does not start with the old count; 3. every relationship is given to the partition that
its events go to from now on; 4. every partition notes where the new incarnation begins; 5. the new count and a new
incarnation are recorded. Until then ingest and scoring do not start with the new count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from shared.domain.errors import Misconfigured
from shared.domain.relationship.fence import position_of
from shared.domain.relationship.state import RelationshipState
from shared.storage.store import Incarnation, PartitionState, Write
from shared.stream.cluster import Cluster, Position
from shared.stream.frames import CLOCK, kind_of
from shared.stream.ports import LogReader
from shared.stream.topics import (
    ALERTS_GROUP,
    INBOX,
    INGEST_GROUP,
    INTERACTIONS,
    SCORING_GROUP,
    UPDATES,
    partition_of,
)

READERS = {INTERACTIONS: SCORING_GROUP, UPDATES: ALERTS_GROUP, INBOX: INGEST_GROUP}  # also: the topics that grow
SERVICES = {SCORING_GROUP: "scoring", ALERTS_GROUP: "alerts", INGEST_GROUP: "ingest"}
DRAINED = (INTERACTIONS, UPDATES)  # not the inbox: what others write there waits until ingest runs again
MOST = 1024  # as RAPPORT_PARTITIONS
PAGE = 500  # states read and written at once
CLOCKS = 10  # so many records are looked at to see whether they are clock records only

Say = Callable[[str], None]


class GrowthStore(Protocol):
    """The part of the store that this needs."""

    async def incarnation(self, topic: str) -> Incarnation | None: ...

    async def set_incarnation(self, incarnation: Incarnation) -> None: ...

    async def states_of_partition(self, partition: int, after: str, limit: int) -> list[RelationshipState]: ...

    async def partition_state(self, partition: int) -> PartitionState | None: ...

    async def write(self, writes: Sequence[Write]) -> list[str]: ...


class Reading(msgspec.Struct, frozen=True):
    """Who reads a topic, and how far."""

    topic: str
    group: str
    members: tuple[str, ...]
    positions: tuple[Position, ...]

    @property
    def left(self) -> int:
        return sum(position.left for position in self.positions)


class Topology(msgspec.Struct, frozen=True):
    """The recorded count and incarnation of `rapport.interactions`, and the readings of what is partitioned like it."""

    partitions: int
    incarnation: str
    readings: tuple[Reading, ...]

    def growing_to(self) -> int:
        """The count that a growth which was interrupted went for; 0 if there was none."""
        most = max(len(reading.positions) for reading in self.readings)
        return most if most > self.partitions else 0


class Grown(msgspec.Struct, frozen=True):
    """What was done; `moved` relationships belong to another partition than before."""

    before: int
    after: int
    moved: int
    incarnation: str


async def topology(cluster: Cluster, store: GrowthStore) -> Topology:
    """As it is now. Raises Misconfigured where there is nothing yet, Unavailable."""
    known, counts = await store.incarnation(INTERACTIONS), await cluster.counts()
    missing = [topic for topic in READERS if topic not in counts]
    if known is None or missing:
        raise Misconfigured(
            f"There are no topics yet ({', '.join(missing) or INTERACTIONS}): run `rapport init` first."
        )
    readings = [
        Reading(topic, group, tuple(await cluster.members(group)), tuple(await cluster.positions(group, topic)))
        for topic, group in READERS.items()
    ]
    return Topology(known.partitions, known.incarnation, tuple(readings))


class Growth:
    """One growth of a log's partition count."""

    def __init__(self, cluster: Cluster, reader: LogReader, store: GrowthStore, new_id: str, say: Say) -> None:
        """`new_id` becomes the new incarnation."""
        self._cluster = cluster
        self._reader = reader
        self._store = store
        self._id = new_id
        self._say = say

    async def to(self, partitions: int) -> Grown:
        """Grow to this count; it may be called again after any failure.

        Raises Misconfigured, saying what to do first, where it cannot be done now; Unavailable.
        """
        before = await topology(self._cluster, self._store)
        refuse_count(before, partitions)
        if before.partitions == partitions:
            return Grown(partitions, partitions, 0, before.incarnation)
        await self._refuse_unrest(before)
        for reading in before.readings:
            if len(reading.positions) < partitions:
                await self._cluster.grow(reading.topic, partitions)
                self._say(f"{reading.topic} has {partitions} partitions now.")
        after = await topology(self._cluster, self._store)
        await self._refuse_unrest(after)
        moved = await self._move_relationships(partitions)
        await self._mark_beginnings(after.readings[0].positions)
        await self._record(partitions)
        return Grown(before.partitions, partitions, moved, self._id)

    async def _refuse_unrest(self, now: Topology) -> None:
        refuse_members(now)
        for reading in now.readings:
            if reading.topic in DRAINED:
                await self._refuse_left(reading)
        for position in now.readings[0].positions:
            await self._refuse_untold(position.partition)

    async def _refuse_left(self, reading: Reading) -> None:
        left = {p.partition: p.left for p in reading.positions if p.left and not await self._only_clocks(reading, p)}
        if left:
            service = SERVICES[reading.group]
            raise Misconfigured(
                f"{sum(left.values())} records of {reading.topic} have not been read by {service} yet (partition: "
                f"records {_listed(left)}). Start {service} with the present count, ingest stopped, wait until "
                "`rapport partitions` shows nothing left, stop it and give this command again."
            )

    async def _only_clocks(self, reading: Reading, position: Position) -> bool:
        """A worker that stops may leave clock records that it wrote itself; what they are about comes up again."""
        if reading.topic != INTERACTIONS or position.left > CLOCKS:
            return False
        records = self._reader.read(INTERACTIONS, position.partition, position.next, follow=False)
        return all([kind_of(record) == CLOCK async for record in records])

    async def _refuse_untold(self, partition: int) -> None:
        state = await self._store.partition_state(partition)
        if state is not None and state.unpublished:
            raise Misconfigured(
                f"Flags of {len(state.unpublished)} relationships of partition {partition} have changed, and alerts "
                "has not been told: scoring ended in the middle. Start scoring and alerts with the present count, "
                "ingest stopped, wait until `rapport partitions` shows nothing left, stop them and give this command "
                "again."
            )

    async def _move_relationships(self, partitions: int) -> int:
        """Every relationship to the partition of its key. Nothing of that partition's log is folded into it yet."""
        moved = 0
        for partition in range(partitions):
            after = ""
            while states := await self._store.states_of_partition(partition, after, PAGE):
                after = states[-1].id
                homes = {state.id: partition_of(state.id.encode(), partitions) for state in states}
                writes = [self._move(state, homes[state.id]) for state in states if homes[state.id] != partition]
                await self._write(writes)
                moved += len(writes)
            self._say(f"Looked through partition {partition}: {moved} relationships moved so far.")
        return moved

    def _move(self, state: RelationshipState, partition: int) -> Write:
        return Write("relationships", state.id, state.rev, self._fence(partition, -1))

    async def _mark_beginnings(self, positions: Sequence[Position]) -> None:
        """Whatever a partition holds by now has been folded: the new incarnation begins behind it."""
        updates = await self._store.incarnation(UPDATES)
        told = updates.incarnation if updates else ""
        writes = []
        for position in positions:
            number, end = position.partition, position.end
            state = await self._store.partition_state(number)
            fields = self._fence(number, position_of(end) - 1) | {"begins": end}
            if state is None:  # nobody has told of anything there, so nothing can have been missed
                fields |= {"published_into": told}
            writes.append(Write("partitions", str(number), state.rev if state else 0, fields))
        await self._write(writes)

    async def _record(self, partitions: int) -> None:
        for topic in (UPDATES, INBOX):
            known = await self._store.incarnation(topic)
            if known is not None:
                await self._store.set_incarnation(Incarnation(topic, known.incarnation, partitions))
        await self._store.set_incarnation(Incarnation(INTERACTIONS, self._id, partitions))

    async def _write(self, writes: Sequence[Write]) -> None:
        if writes and (lost := await self._store.write(writes)):
            raise Misconfigured(
                f"{len(lost)} documents were changed meanwhile, {lost[0]} among them: a scoring worker runs. Stop it "
                "and give this command again."
            )

    def _fence(self, partition: int, position: int) -> dict[str, Any]:
        return {"incarnation": self._id, "partition": partition, "position": position, "writer": f"growth {self._id}"}


def refuse_count(now: Topology, partitions: int) -> None:
    """Raises Misconfigured unless the log can be grown to this count."""
    if partitions < now.partitions:
        raise Misconfigured(
            f"{INTERACTIONS} has {now.partitions} partitions, and a count can only grow: say more than that."
        )
    if partitions > MOST:
        raise Misconfigured(f"{partitions} partitions are more than the {MOST} that RAPPORT_PARTITIONS may name.")
    if partitions < now.growing_to():
        raise Misconfigured(
            f"Growing to {now.growing_to()} partitions has begun, and a topic cannot be shrunk: say --to "
            f"{now.growing_to()}."
        )


def refuse_members(now: Topology) -> None:
    """Raises Misconfigured while a service that reads or writes the log runs."""
    running = {SERVICES[reading.group]: reading.members for reading in now.readings if reading.members}
    if running:
        who = "; ".join(f"{service}: {', '.join(members)}" for service, members in running.items())
        raise Misconfigured(
            f"Still in their consumer groups are {who}. Stop ingest first, then scoring and alerts; whoever was killed "
            "or has a RAPPORT_INSTANCE leaves its group when the session is over, 10 s later. Then try again. (An "
            "embedded broker's log cannot be grown: choose --partitions when its data directory is new.)"
        )


def _listed(left: Mapping[int, int]) -> str:
    shown = [f"{partition}: {count}" for partition, count in list(left.items())[:10]]
    return ", ".join(shown) + (", …" if len(left) > len(shown) else "")
