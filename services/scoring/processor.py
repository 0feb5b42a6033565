"""The scoring processor: decode a batch → load what it misses → engine → store → publish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic

from services.scoring.decode import Bad, Events, Read, Tick, read, segments
from services.scoring.due import DueWork
from services.scoring.garbage import Garbage
from services.scoring.loading import Loader
from services.scoring.memory_budget import MemoryBudget
from services.scoring.progress import LATE, Flush, FlushCheckpoint, PartitionProgress, entries_in, records_from
from services.scoring.rate_controller import FOLD_MOST, RateController
from services.scoring.saving import Saver
from services.scoring.storing import Storing
from services.scoring.upkeep import Upkeep, to_look_at
from shared.domain.columns.row import Row
from shared.domain.contract.events import DAY, Millis
from shared.domain.engine.changes import CHANGES_KEPT
from shared.domain.engine.run import Run
from shared.domain.engine.step import step_many
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence, position_of
from shared.domain.relationship.state import RelationshipState
from shared.patience import Pause, Retry
from shared.storage.store import PartitionState, StateStore
from shared.stream.ports import Batch, Publisher
from shared.stream.quarantine import SCORING, Reason, quarantine_message
from shared.stream.topics import INTERACTIONS, QUARANTINE
from shared.telemetry import Metrics, logger

WAITING_MOST = 2 * FOLD_MOST  # events of all partitions that are gathered to be folded together
NEW_AT_LEAST = 1_000  # relationships may be brought into memory at once, whether they fit or not


class Scoring:
    """Processor on `rapport.interactions`. Whatever it raises ends the process: nothing unstored is committed."""

    def __init__(
        self,
        store: StateStore,
        publisher: Publisher,
        terms: Terms,
        metrics: Metrics,
        clock: Callable[[], Millis],
        *,
        partitions: int,
        writer: str,
        memory: int,
        pause: Pause = asyncio.sleep,
        garbage: Garbage | None = None,
        rate: RateController | None = None,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._terms = terms
        self._metrics = metrics
        self._clock = clock
        self._garbage = garbage
        self._rate = rate or RateController()
        self._retry = Retry(metrics, pause)
        self._memory = MemoryBudget(memory, terms, metrics)
        self._block = self._memory.block
        self._loader = Loader(store, self._block, terms.dedup_days)
        self._owned: dict[int, PartitionProgress] = {}
        self._storing = Storing(
            store,
            Saver(store, self._block, writer),
            publisher,
            self._owned,
            self._retry,
            metrics,
            clock,
            partitions=partitions,
            rate=self._rate,
            timer=timer,
        )
        self._due = DueWork(
            store, self._loader, self._block, terms, self._storing, self._owned, self._retry, self._publish_early, timer
        )
        self._upkeep = Upkeep(store, terms.dedup_days, self._retry, self._storing.hand_on)
        self._flush: Flush | None = None  # under way: a part of it has been stored
        self._scored: dict[int, int] = {}  # of partitions that were ours last: see `scored`

    # --- partitions come and go -----------------------------------------------------------------------------------

    async def assigned(self, partitions: Sequence[int]) -> None:
        await self._storing.begin()
        self._scored = {}
        for number in partitions:
            state = await self._retry(partial(self._store.partition_state, number), "partition_state")
            owned = PartitionProgress(state or PartitionState(id=str(number), partition=number))
            await self._upkeep.publish_to_new_topic(owned, number, self._clock())
            self._owned[number] = owned

    async def revoked(self, partitions: Sequence[int]) -> None:
        self._flush = None
        self._scored = self.scored
        for number in partitions:
            self._owned.pop(number, None)
        self._memory.leave(self._owned)
        self._storing.note_revoked()

    # --- records --------------------------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> int:
        """Fold what was fetched; while a backlog is worked off, much of it at once: see `segments`."""
        owned = self._owned[batch.partition]
        if owned.flushed < 0:
            owned.flushed = owned.stored = batch.records[0].offset
            await self._resume(owned, batch)
        events = owned.wait_for(map(read, records_from(batch.records, owned.state.begins)))
        owned.end = batch.end
        owned.next = batch.records[-1].offset + 1
        while self._many_wait(owned, WAITING_MOST) and self._may_fold(owned):
            await self._fold_waiting(batch.partition, owned)
        return events

    def full(self) -> bool:
        """What should be folded by now has to wait until more is stored, or until the next batch."""
        most = WAITING_MOST + FOLD_MOST  # a backlog goes on being gathered while a flush is under way
        return self._write_backpressure or any(self._many_wait(owned, most) for owned in self._owned.values())

    @property
    def behind(self) -> bool:
        """Clock records are not over, and more may be folded now; or it is time to see whether another one is due."""
        return self._may_evaluate or bool(to_look_at(self._owned, self._clock()))

    @property
    def _may_evaluate(self) -> bool:
        room = self._flush is None or self._flush.has_room(self._owned)
        return self._due.behind and room and not self._write_backpressure

    async def advance(self) -> None:
        """A slice of what clock records have made due; first another one, if it is time for it."""
        await self._append_clock_records(self._clock())
        if self._may_evaluate:
            await self._due.advance()
        if self._memory.over_budget:
            self._memory.evict(self._owned)

    async def _publish_early(self, number: int, rows: Sequence[Row]) -> None:
        """Store and publish those whose flags have changed so that somebody is to be told of it."""
        owned = self._owned[number]
        loud = [row for row in rows if _loud(row, Fence(self._storing.incarnation, number, position_of(owned.flushed)))]
        await self._storing.flush_early(number, loud)

    @property
    def _write_backpressure(self) -> bool:
        """It holds as much that is not stored as it may: nothing more is folded before a flush."""
        if self._storing.entries >= self._rate.entries:
            return True
        return self._memory.over_budget and any(owned.touched for owned in self._owned.values())

    def _many_wait(self, owned: PartitionProgress, most: int) -> bool:
        """Enough waits to be folded: all there is, as many records as go together, or `most` of all partitions."""
        if owned.caught_up or owned.waiting_events >= self._rate.events:
            return bool(owned.waiting)
        return bool(owned.waiting) and sum(owned.waiting_events for owned in self._owned.values()) >= most

    def _may_fold(self, owned: PartitionProgress) -> bool:
        """Not more than can be stored; of a backlog, nothing as long as a flush is under way."""
        if self._write_backpressure:
            return False
        return self._flush is None or (owned.caught_up and self._flush.has_room(self._owned))

    async def _fold_waiting(self, partition: int, owned: PartitionProgress) -> None:
        """Fold the first of what waits."""
        found, entries = self._portion(owned), self._storing.entries_so_far
        end = Fence(self._storing.incarnation, partition, position_of(owned.end))
        urgent: dict[str, Row] = {}
        for segment in segments(found, partition, self._partitions):
            if isinstance(segment, Tick):
                self._due.begin(owned, segment)
            elif isinstance(segment, Bad):
                await self._quarantine(partition, segment)
            else:
                urgent |= await self._fold(owned, segment, end)
        owned.note_folded(found[-1].offset + 1)  # not before: runs are not in the order of the log
        self._rate.folded(sum(map(len, found)), self._storing.entries_so_far - entries)
        await self._storing.flush_early(partition, [row for id, row in urgent.items() if owned.touched.get(id) is row])
        if self._memory.over_budget:
            self._memory.evict(self._owned)

    def _portion(self, owned: PartitionProgress) -> list[Read]:
        """The first of what waits: not much more than the pace allows, and not many more relationships than fit."""
        spare = max(self._memory.spare, NEW_AT_LEAST)
        events, new = 0, set[str]()
        for taken, one in enumerate(owned.waiting):
            events += len(one)
            if isinstance(one, Events) and owned.waiting_events > spare:
                new.update(key for key in one.keys if key not in self._block.rows)
            if taken and (events > self._rate.events or len(new) > spare):
                return owned.take_waiting(taken)
        return owned.take_waiting(len(owned.waiting))

    async def _resume(self, owned: PartitionProgress, batch: Batch) -> None:
        """Tell again what whoever had the partition before us stored, and may not have told."""
        first, end = batch.records[0], Fence(self._storing.incarnation, batch.partition, position_of(batch.end))
        received = max(0, min(first.timestamp, self._clock()))  # nobody has looked at this record yet
        load = partial(self._loader.load, owned.state.unpublished, received, position_of(first.offset), end)
        rows = await self._retry(load, "load")
        earlier = [row.state for row in rows if not self._of_this_log(row.state)]
        await self._upkeep.publish_last(batch.partition, earlier, self._clock())
        owned.state.unpublished = tuple(row.state.id for row in rows)
        owned.touched.update((row.state.id, row) for row in rows)

    def _of_this_log(self, state: RelationshipState) -> bool:
        """Whether what has last changed about its flags is of the log being read, and so is told with its row."""
        return any(change.cause.incarnation == self._storing.incarnation for change in state.changes[-1:])

    async def _fold(self, owned: PartitionProgress, run: Run, end: Fence) -> dict[str, Row]:
        """Those that do not wait for the next flush, since they have raised or cleared a flag."""
        owned.reached = min(run.received)
        backlogs = [other.reached for other in self._owned.values() if other.reached and not other.idle]
        self._block.ids.expire((min([owned.reached, *backlogs]) - LATE) // DAY)
        rows = await self._retry(partial(self._loader.bring, run, end), "load")
        await self._due.catch_up(end.partition, rows)
        prefetched = await self._retry(partial(self._loader.prefetch, run, end), "load")
        before = entries_in(rows)
        step = step_many(self._block, run, prefetched, self._terms, self._storing.incarnation, end.partition)
        self._storing.note_entries(entries_in(rows) - before)
        owned.touched.update(step.touched)
        owned.received = max(owned.received, *run.received)
        owned.waiting_since = min(owned.waiting_since or owned.reached, owned.reached)
        self._metrics.duplicates.inc(step.duplicates)
        since = Fence(self._storing.incarnation, end.partition, min(run.positions))
        await self._storing.flush_early(end.partition, [row for row in step.touched.values() if _crowded(row)])
        return {id: row for id, row in step.touched.items() if owned.caught_up and _loud(row, since)}

    async def _quarantine(self, partition: int, bad: Bad) -> None:
        poison = bad.poison
        place = "" if bad.place is None else f"/{bad.place}"
        origin = f"{INTERACTIONS}/{partition}/{bad.offset}{place}"
        reason = Reason(poison.reason, poison.detail)
        message = quarantine_message(bad.tenant, SCORING, reason, self._clock(), bad.original, origin)
        await self._storing.hand_on(QUARANTINE, 0, [message], "quarantine")
        self._metrics.quarantined.labels(poison.reason).inc()
        logger().warning("quarantined", origin=origin, reason=poison.reason, detail=poison.detail)

    # --- flush ----------------------------------------------------------------------------------------------------

    async def flush(self) -> Mapping[int, int] | None:
        """A part of what is to be stored when the first one begins: whatever was touched by then.

        What is touched again before its turn is stored as it is then: its documents stand by themselves. What is
        touched after it is for the next flush. Whatever goes wrong, the next call begins anew.
        """
        flush, self._flush = self._flush or await self._begin_flush(), None
        busy = not flush.over
        if busy:
            await self._store_and_publish(flush.slice(self._owned, self._rate.documents), flush.checkpoints)
            await self._append_clock_records(self._clock())
        if flush.over:
            return await self._end_flush(flush, idle=not busy)
        self._flush = flush
        return None

    async def _store_and_publish(
        self, rows: Mapping[int, Sequence[Row]], checkpoints: Mapping[int, FlushCheckpoint] | None = None
    ) -> None:
        await self._storing.store_and_publish(rows, checkpoints)
        if any(rows.values()):
            self._memory.evict(self._owned)

    async def _append_clock_records(self, now: Millis) -> None:
        def in_memory(partition: int, by: Millis) -> bool:
            return next(self._block.due(by, partition), None) is not None

        await self._upkeep.append_clock_records(self._owned, self._storing.incarnation, now, in_memory)

    async def _begin_flush(self) -> Flush:
        for number, owned in self._owned.items():
            while owned.waiting and self._may_fold(owned):
                await self._fold_waiting(number, owned)
        return Flush(self._owned, self._clock())

    async def _end_flush(self, flush: Flush, *, idle: bool) -> Mapping[int, int]:
        """All of it is stored and told: remember that, and do what is to be done now and then."""
        now = self._clock()
        for number, checkpoint in flush.checkpoints.items():
            owned = self._owned[number]
            owned.flushed = max(owned.flushed, checkpoint.next)
            owned.stored = max(owned.stored, owned.flushed)
            if checkpoint.over is not None:
                owned.move_clock(self._storing.incarnation, number, checkpoint.over)
            if checkpoint.waiting_since:
                self._metrics.event_to_state.observe(max(0, now - checkpoint.waiting_since) / 1000)
        await self._storing.save_moved()
        await self._append_clock_records(now)
        await self._upkeep.purge(flush.checkpoints, now)
        if self._garbage is not None:
            self._garbage.look(now, idle=idle)
        return {number: checkpoint.next for number, checkpoint in flush.checkpoints.items() if checkpoint.next >= 0}

    @property
    def scored(self) -> dict[int, int]:
        """By partition that was ours last: the offset up to which all that was folded is stored."""
        return self._scored | {number: one.stored for number, one in self._owned.items() if one.stored >= 0}


def _loud(row: Row, since: Fence) -> bool:
    """Whether a record from there on has changed a flag that somebody is told of."""
    last = row.state.changes[-1] if row.state.changes else None
    if last is None or last.suppressed or last.cause.incarnation != since.incarnation:
        return False
    return last.cause.position >= since.position


def _crowded(row: Row) -> bool:
    """Whether it holds more changes of its flags than it should, until they are told."""
    return len(row.state.changes) > CHANGES_KEPT
