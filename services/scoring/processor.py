"""The scoring processor: decode a batch → load what it misses → engine → store → publish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from services.scoring.decode import Bad, Tick, end_of, segments
from services.scoring.garbage import Garbage
from services.scoring.loading import Loader
from services.scoring.saving import Saver
from services.scoring.telling import batches_of, told_last, update_batches
from shared import wire
from shared.domain.baseline import days_needed
from shared.domain.block import ROW_BYTES, Block, Row
from shared.domain.engine import Terms, step_many, tick
from shared.domain.errors import Misconfigured
from shared.domain.events import CLOCK_KEY, DAY, HOUR, SECOND, Clock, Millis
from shared.domain.fence import Fence
from shared.domain.playbooks import DropParams, Playbook
from shared.domain.run import Run
from shared.domain.verdicts import Rule
from shared.patience import Pause, until_available
from shared.storage.store import PartitionState, StateStore
from shared.stream.ports import Batch, Message, Publisher, Record
from shared.stream.quarantine import SCORING, Reason, quarantine_message
from shared.stream.topics import INCARNATION_HEADER, INTERACTIONS, QUARANTINE, UPDATES
from shared.telemetry import Metrics, logger

T = TypeVar("T")

CLOCK_EVERY = SECOND  # at most one clock record a partition in this time
PURGE_EVERY = HOUR
PAGE = 500  # heads read at once when everything is told again
ROWS_SHARE = 0.5  # of a worker's memory for relationships; the rest for the program, batches and arrays that grow
FOLD_AT_ONCE = 50_000  # records of a backlog that are gathered to be folded together
WAITING_MOST = 2 * FOLD_AT_ONCE  # of all partitions: a flush folds them first, and a revocation waits for that
DUE_AT_ONCE = 2_000  # relationships evaluated between two writes of a clock record
SLACK_DAYS = 4  # series reach this much further than rules look: events come early, evaluations late


class Owned(msgspec.Struct):
    """A partition of ours: its state, the next offset to read, where the last flush ended, and what was touched."""

    state: PartitionState
    next: int = -1
    end: int = -1  # the end of its log, as of the last fetch
    waiting: list[Record] = msgspec.field(default_factory=list)  # fetched, and to be folded together with what follows
    folded: int = -1  # the offset after the last record folded, even within a batch
    flushed: int = -1
    clocked_at: Millis = 0  # when we last appended a clock record
    moved: bool = False  # the state differs from what is stored
    touched: dict[str, Row] = msgspec.field(default_factory=dict)
    received: Millis = 0  # receipt of the newest event since the last flush
    reached: Millis = 0  # receipt of the event that was folded last, about


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
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._terms = terms
        self._metrics = metrics
        self._clock = clock
        self._partitions = partitions
        self._budget = round(memory * ROWS_SHARE)
        self._pause = pause
        self._garbage = garbage
        # Room for all that fit, of which the system gives only what is used: to grow would mean to copy
        self._block = Block(_feature_days(terms.playbook), terms.dedup_days, capacity=1 + self._budget // ROW_BYTES)
        self._loader = Loader(store, self._block, terms.dedup_days)
        self._saver = Saver(store, self._block, writer)
        self._incarnation = ""
        self._owned: dict[int, Owned] = {}
        self._purged_at: Millis = 0
        self.scored: dict[int, int] = {}  # by partition that was ours last: the offset up to which state is stored

    # --- partitions come and go -----------------------------------------------------------------------------------

    async def assigned(self, partitions: Sequence[int]) -> None:
        self._incarnation = await self._read_incarnation()
        self.scored = {}
        for number in partitions:
            state = await self._patiently(partial(self._store.partition_state, number), "partition_state")
            owned = Owned(state or PartitionState(id=str(number), partition=number))
            await self._tell_new_topic(owned, number)
            self._owned[number] = owned

    async def revoked(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._owned.pop(number, None)
        for row in list(self._block.rows.values()):
            if row.head.partition not in self._owned:
                self._block.evict(row)

    async def _read_incarnation(self) -> str:
        known = await self._patiently(partial(self._store.incarnation, INTERACTIONS), "incarnation")
        if known is None:
            raise Misconfigured(f"{INTERACTIONS} has no incarnation in the store: run `rapport init` first.")
        if known.partitions != self._partitions:
            raise Misconfigured(
                f"{INTERACTIONS} was created with {known.partitions} partitions, the settings say {self._partitions}:"
                f" set RAPPORT_PARTITIONS={known.partitions}."
            )
        return known.incarnation

    # --- records --------------------------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        """Fold what was fetched; while a backlog is worked off, much of it at once: see `segments`."""
        owned = self._owned[batch.partition]
        if owned.flushed < 0:
            owned.flushed = batch.records[0].offset
            await self._resume(owned, batch)
        owned.waiting.extend(_from(batch.records, owned.state.begins))
        owned.end = batch.end
        owned.next = batch.records[-1].offset + 1
        waiting = sum(len(owned.waiting) for owned in self._owned.values())
        if owned.next >= batch.end or len(owned.waiting) >= FOLD_AT_ONCE or waiting >= WAITING_MOST:
            await self._fold_waiting(batch.partition, owned)

    async def _fold_waiting(self, partition: int, owned: Owned) -> None:
        records, owned.waiting = owned.waiting, []
        end = Fence(self._incarnation, partition, owned.end)
        for segment in segments(records):
            if isinstance(segment, Tick):
                await self._tick(owned, partition, segment, end)
            elif isinstance(segment, Bad):
                await self._quarantine(partition, segment)
            else:
                await self._fold(owned, segment, end)
            owned.folded = max(owned.folded, end_of(segment))

    async def _resume(self, owned: Owned, batch: Batch) -> None:
        """Tell again what whoever had the partition before us stored, and may not have told."""
        first, end = batch.records[0], Fence(self._incarnation, batch.partition, batch.end)
        load = partial(self._loader.load, owned.state.untold, first.timestamp, first.offset, end)
        rows = await self._patiently(load, "load")
        owned.touched.update((row.head.id, row) for row in rows)

    async def _fold(self, owned: Owned, run: Run, end: Fence) -> None:
        owned.reached = min(run.received)
        self._block.ids.expire(min(owned.reached for owned in self._owned.values() if owned.reached) // DAY)
        known = await self._patiently(partial(self._loader.prepare, run, end), "load")
        step = step_many(self._block, run, known, self._terms, self._incarnation, end.partition)
        owned.touched.update(step.touched)
        owned.received = max(owned.received, *run.received)
        self._metrics.duplicates.inc(step.duplicates)
        if owned.next >= owned.end:  # not while a backlog is worked off
            since = Fence(self._incarnation, end.partition, min(run.offsets))
            await self._hurry(owned, end.partition, [row for row in step.touched.values() if _loud(row, since)])

    async def _hurry(self, owned: Owned, number: int, rows: Sequence[Row]) -> None:
        """Store and tell at once what has raised or cleared a flag: it does not wait for all that the next flush holds.

        Every document stands by itself, so it may be stored before others; nothing is committed before all are.
        """
        if not rows:
            return
        await self._check_incarnation()
        await self._patiently(partial(self._saver.save, rows, ()), "save")
        await self._publish(owned, number, rows, self._clock())
        for row in rows:
            del owned.touched[row.head.id]

    async def _tick(self, owned: Owned, partition: int, record: Tick, end: Fence) -> None:
        """Evaluate what is due, in parts that are stored one after another; then the partition's clock has moved."""
        if record.now <= owned.state.clock:
            return
        place = Fence(self._incarnation, partition, record.offset)
        done: set[str] = set()
        while True:
            await self._store_and_tell()  # the store must know of every due moment before it is asked
            find = partial(self._store.due, partition, record.now, DUE_AT_ONCE + len(done))
            ids = [id for id in await self._patiently(find, "due") if id not in done]
            if not ids:
                break
            rows = await self._patiently(partial(self._loader.load, ids, record.now, record.offset, end), "load")
            tick(self._block, rows, record.now, self._terms, place)
            await self._note_untold(owned, rows, place)
            owned.touched.update((row.head.id, row) for row in rows)
            done.update(ids)
        owned.state.clock = record.now
        owned.state.incarnation, owned.state.offset = place.incarnation, place.offset
        owned.moved = True

    async def _note_untold(self, owned: Owned, rows: Sequence[Row], place: Fence) -> None:
        """Before heads are stored whose flags a clock record has changed.

        Events are read again after a crash and find the relationships they changed; a clock record would find nothing
        due any more, so what it changed would never be told.
        """
        here = (place.incarnation, place.offset)
        latest = [(row.head.id, change.cause) for row in rows for change in row.head.changes[-1:]]
        changed = [id for id, cause in latest if (cause.incarnation, cause.offset) == here]
        if changed:
            owned.state.untold = (*owned.state.untold, *changed)
            await self._patiently(partial(self._saver.save, (), (owned.state,)), "save")
            owned.state.rev += 1

    async def _quarantine(self, partition: int, bad: Bad) -> None:
        poison = bad.poison
        origin = f"{INTERACTIONS}/{partition}/{bad.record.offset}"
        tenant = (bad.record.key or b"").decode(errors="replace").split("/")[0]
        reason = Reason(poison.reason, poison.detail)
        message = quarantine_message(tenant, SCORING, reason, self._clock(), bad.record.value, origin)
        await self._patiently(partial(self._publisher.publish, QUARANTINE, 0, [message]), "quarantine")
        self._metrics.quarantined.labels(poison.reason).inc()
        logger().warning("quarantined", origin=origin, reason=poison.reason, detail=poison.detail)

    async def _tell_new_topic(self, owned: Owned, partition: int) -> None:
        """A topic of updates that was made anew has lost what nobody had read: tell it how all flags came about.

        Before anything new is folded, so that nothing is told after what has superseded it. Readers know by the cause
        what they have had already.
        """
        topic = await self._patiently(partial(self._store.incarnation, UPDATES), "incarnation")
        if topic is None or topic.incarnation == owned.state.told_into:
            return
        after = ""
        while heads := await self._patiently(partial(self._store.partition_heads, partition, after, PAGE), "heads"):
            after = heads[-1].id
            batches = batches_of((told_last(head) for head in heads if head.changes), self._clock(), 0)
            if batches:
                messages = [Message(wire.encode(batch)) for batch in batches]
                await self._patiently(partial(self._publisher.publish, UPDATES, partition, messages), "publish")
        owned.state.told_into = topic.incarnation
        owned.moved = True

    # --- flush ----------------------------------------------------------------------------------------------------

    async def flush(self) -> Mapping[int, int]:
        for number, owned in self._owned.items():
            await self._fold_waiting(number, owned)
        busy = any(owned.touched or owned.moved for owned in self._owned.values())
        if busy:
            await self._store_and_tell()
            await self._save()  # that it has been told
        for owned in self._owned.values():
            owned.flushed = max(owned.flushed, owned.next)
        await self._append_clock_records()
        await self._purge()
        if self._garbage is not None:
            self._garbage.look(self._clock(), idle=not busy)
        return {number: owned.next for number, owned in self._owned.items() if owned.next >= 0}

    async def _store_and_tell(self) -> None:
        await self._check_incarnation()
        await self._save()
        await self._tell()
        self._forget()

    def _forget(self) -> None:
        """Let go of what has not been used for longest, and of event ids that will not come again."""
        self._block.ids.passed({number: owned.folded for number, owned in self._owned.items()})
        for row in self._block.surplus(self._budget):
            self._block.evict(row)

    async def _check_incarnation(self) -> None:
        """Offsets of another log say nothing about this one."""
        if await self._read_incarnation() != self._incarnation:
            raise Misconfigured(f"{INTERACTIONS} was recreated: starting again with the new log.")

    async def _save(self) -> None:
        rows = {id: row for owned in self._owned.values() for id, row in owned.touched.items()}
        moved = [owned for owned in self._owned.values() if owned.moved]
        states = [owned.state for owned in moved]
        await self._patiently(partial(self._saver.save, list(rows.values()), states), "save")
        for owned in moved:
            owned.state.rev += 1
            owned.moved = False
        self.scored |= {number: owned.folded for number, owned in self._owned.items() if owned.folded >= 0}

    async def _tell(self) -> None:
        now = self._clock()
        for number, owned in self._owned.items():
            if not owned.touched:
                continue
            await self._publish(owned, number, owned.touched.values(), now)
            if owned.received:
                self._metrics.event_to_state.observe(max(0, now - owned.received) / 1000)
            owned.touched = {}
            owned.received = 0
            if owned.state.untold:
                owned.state.untold = ()
                owned.moved = True

    async def _publish(self, owned: Owned, number: int, rows: Collection[Row], now: Millis) -> None:
        since = Fence(self._incarnation, number, owned.flushed)
        batches = update_batches(rows, since, now, owned.received)
        messages = [Message(wire.encode(batch), timestamp=now) for batch in batches]
        await self._patiently(partial(self._publisher.publish, UPDATES, number, messages), "publish")
        self._metrics.events_out.labels(UPDATES).inc(len(rows))

    async def _append_clock_records(self) -> None:
        """Where something is due, say so in the log itself: on reading it, it is evaluated."""
        now = self._clock()
        waiting = [number for number, owned in self._owned.items() if now - owned.clocked_at >= CLOCK_EVERY]
        if not waiting:
            return
        due = await self._patiently(partial(self._store.earliest_due, waiting), "earliest_due")
        for number in waiting:
            owned = self._owned[number]
            owned.clocked_at = now
            if number in due and due[number] <= now and now > owned.state.clock:
                header = ((INCARNATION_HEADER, self._incarnation.encode()),)
                message = Message(wire.encode(Clock(now)), CLOCK_KEY, header, now)
                await self._patiently(partial(self._publisher.publish, INTERACTIONS, number, [message]), "clock")

    async def _purge(self) -> None:
        """Once an hour, drop the event ids of our partitions that no longer matter where their reading has got to."""
        now = self._clock()
        if now - self._purged_at < PURGE_EVERY:
            return
        self._purged_at = now
        for number, owned in self._owned.items():
            reached = now if owned.next >= owned.end else owned.reached
            if owned.next >= 0 and reached:
                before = reached - (self._terms.dedup_days + 1) * DAY
                await self._patiently(partial(self._store.purge_dedup, number, before), "purge")

    async def _patiently(self, work: Callable[[], Awaitable[T]], operation: str) -> T:
        return await until_available(work, self._metrics, operation, self._pause)


def _from(records: Sequence[Record], begins: int) -> Sequence[Record]:
    """Those that belong to the present incarnation. Others come again only if the group's offsets were lost."""
    return records if records[0].offset >= begins else [record for record in records if record.offset >= begins]


def _loud(row: Row, since: Fence) -> bool:
    """Whether a record from there on has changed a flag that somebody is told of."""
    last = row.head.changes[-1] if row.head.changes else None
    if last is None or last.quiet or last.cause.incarnation != since.incarnation:
        return False
    return last.cause.offset >= since.offset


def _feature_days(playbook: Playbook) -> int:
    """How far back the features' series must reach for the rules of this playbook."""
    looks = [playbook.params(rule, DropParams) for rule in (Rule.USAGE_DROP, Rule.FEATURE_DECLINE)]
    return max(days_needed(params.window_days, params.baseline_weeks) for params in looks) + SLACK_DAYS
