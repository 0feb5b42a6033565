"""What the owner of a partition does beside folding: clock records, dropping old event ids, telling a new topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from services.scoring.progress import LATE, FlushCheckpoint, PartitionProgress
from services.scoring.updates import batches_of, published_last
from shared import wire
from shared.domain.contract.events import DAY, HOUR, SECOND, Millis
from shared.domain.relationship.state import RelationshipState
from shared.patience import Retry
from shared.storage.store import StateStore
from shared.stream.frames import clock_message
from shared.stream.ports import Message
from shared.stream.topics import INTERACTIONS, UPDATES

CLOCK_EVERY = SECOND  # at most one clock record a partition in this time
PURGE_EVERY = HOUR
PAGE = 500  # states read at once when everything is told again


DueInMemory = Callable[[int, Millis], bool]
"""Whether something of a partition that is in memory is due by a moment."""


class HandOn(Protocol):
    """Publishes, for as long as it takes."""

    def __call__(self, topic: str, partition: int, messages: Sequence[Message], operation: str) -> Awaitable[None]: ...


class Upkeep:
    """For all partitions of a worker."""

    def __init__(self, store: StateStore, dedup_days: int, retry: Retry, hand_on: HandOn) -> None:
        self._store = store
        self._dedup_days = dedup_days
        self._retry = retry
        self._hand_on = hand_on
        self._purged_at: Millis = 0

    async def append_clock_records(
        self, partitions: Mapping[int, PartitionProgress], incarnation: str, now: Millis, in_memory: DueInMemory
    ) -> None:
        """Where something is due, say so in the log itself: on reading it, it is evaluated. Not while that goes on.

        While what it led to is being stored, the store says of it that it is due: then only memory is asked.
        """
        waiting = to_look_at(partitions, now)
        if not waiting:
            return
        stored = await self._retry(partial(self._store.earliest_due, waiting), "earliest_due")
        for number in waiting:
            owned = partitions[number]
            owned.clocked_at = now
            due = in_memory(number, now) or (owned.over is None and 0 < stored.get(number, 0) <= now)
            if due and now > owned.clock:
                await self._hand_on(INTERACTIONS, number, [clock_message(now, incarnation)], "clock")

    async def purge(self, checkpoints: Mapping[int, FlushCheckpoint], now: Millis) -> None:
        """Once an hour, drop the event ids that no longer matter where the reading of what is stored has got to."""
        if now - self._purged_at < PURGE_EVERY:
            return
        self._purged_at = now
        for number, checkpoint in checkpoints.items():
            if checkpoint.next >= 0 and checkpoint.reached:
                before = ((checkpoint.reached - LATE) // DAY - self._dedup_days) * DAY
                await self._retry(partial(self._store.purge_dedup, number, before), "purge")

    async def publish_to_new_topic(self, owned: PartitionProgress, partition: int, now: Millis) -> None:
        """A topic of updates that was made anew has lost what nobody had read: tell it how all flags came about.

        Before anything new is folded, so that nothing is told after what has superseded it. Readers know by the cause
        what they have had already.
        """
        topic = await self._retry(partial(self._store.incarnation, UPDATES), "incarnation")
        if topic is None or topic.incarnation == owned.state.published_into:
            return
        after = ""
        while states := await self._retry(partial(self._store.states_of_partition, partition, after, PAGE), "states"):
            after = states[-1].id
            await self.publish_last(partition, states, now)
        owned.state.published_into = topic.incarnation
        owned.moved = True

    async def publish_last(self, partition: int, states: Sequence[RelationshipState], now: Millis) -> None:
        """Tell what has last changed about the flags of these: see `published_last`."""
        batches = batches_of((published_last(state) for state in states if state.changes), now, 0)
        if batches:
            messages = [Message(wire.encode(batch)) for batch in batches]
            await self._hand_on(UPDATES, partition, messages, "publish")


def to_look_at(partitions: Mapping[int, PartitionProgress], now: Millis) -> list[int]:
    """The partitions of which it is time to see whether something is due."""
    return [number for number, owned in partitions.items() if not owned.ticks and now - owned.clocked_at >= CLOCK_EVERY]
