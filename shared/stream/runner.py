"""Runs a processor: one call at a time, a watermark that follows what is stored, and nothing after a failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from time import monotonic
from typing import Protocol

from shared.stream.flush_policy import HEARTBEAT_SECONDS, FlushPolicy
from shared.stream.ledger import Fetched, Ledger
from shared.stream.ports import Processor
from shared.telemetry import Metrics, logger

BATCHES_FIRST = 2  # times as long as a part of a flush took, batches are taken after it
LONG_PART_SECONDS = (
    0.5  # a part that took longer waited for the store, and has not kept batches waiting for its own sake
)
REVOCATION_SECONDS = 10.0  # how long a revocation waits for the flush in flight


class Commit(Enum):
    """What became of a commit."""

    DONE = "done"
    EXPELLED = "expelled"  # the group went on without us: others may own our partitions
    UNAVAILABLE = "unavailable"  # the broker did not answer: to be repeated


class Part(Enum):
    """What came of a part of a flush."""

    MORE = "more"  # is left to be stored
    LAST = "last"
    REFUSED = "refused"  # nothing must be stored, or not any more


class Group(Protocol):
    """The member's side of the consumer group."""

    async def commit_offsets(self, offsets: dict[int, int]) -> Commit: ...

    def expelled(self) -> bool:
        """Whether it is already known that the group went on without us."""
        ...

    def left(self) -> int:
        """Records that are known to be in the log, and were not applied yet."""
        ...

    async def check_log(self) -> None:
        """Raises Misconfigured where the log is known to be another one than what was committed belongs to."""
        ...


class Runner:
    """Drives one processor. `failure` is done once something went wrong: then it is never called again."""

    def __init__(
        self,
        processor: Processor,
        topic: str,
        policy: FlushPolicy,
        *,
        session: float,
        metrics: Metrics | None = None,
        patience: float = REVOCATION_SECONDS,
    ) -> None:
        self.ledger = Ledger()
        self.group: Group | None = None
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._processor = processor
        self._topic = topic
        self._policy = policy
        self._metrics = metrics
        self._patience = patience
        self._confirm_after = session / 2
        self._confirmed = monotonic()
        self._lock = asyncio.Lock()
        self._one_flush = asyncio.Lock()  # held from the first part of a flush to the last; the other lock for a part
        self._taking = 0  # batches that are being applied, or wait for their turn
        self._taken = asyncio.Event()
        self._taken_for = 0.0  # seconds that taking batches took, in all
        self._making_room = 0  # batches behind which none comes before there is room
        self.parts = 0  # of flushes and of what was to be worked off, after which there was more
        self._to_revoke: tuple[int, ...] = ()
        self._final: asyncio.Task[bool] | None = None
        self._wake = asyncio.Event()
        self._behind = asyncio.Event()  # perhaps: something was applied, or stored
        self._ending = False

    async def assigned(self, partitions: Sequence[int]) -> None:
        """These are ours; records follow once the ledger has begun."""
        async with self._turn() as alive:
            if alive and not self._ending:
                self.ledger.assign(partitions)
                self._confirmed = monotonic()
                await self._processor.assigned(self.ledger.partitions)
                logger().info("assigned", topic=self._topic, partitions=sorted(self.ledger.partitions))

    async def take(self, fetched: Fetched) -> None:
        """Apply a batch, unless it was fetched before the partitions were last revoked; make room for the next."""
        self._taking += 1
        try:
            async with self._turn() as alive:
                if alive and self.ledger.takes(fetched):
                    began = monotonic()
                    await self._apply(fetched)
                    self._taken_for += monotonic() - began
        finally:
            self._taking -= 1
            self._taken.set()
        self._making_room += 1
        try:
            while fetched.epoch == self.ledger.epoch and self.full and await self._make_room():
                pass
        finally:
            self._making_room -= 1

    @property
    def full(self) -> bool:
        """Whether the processor takes no more before a flush."""
        return bool(self.ledger.partitions) and not self.failure.done() and self._processor.full()

    async def _make_room(self) -> bool:
        """Flush; whether that may have to be repeated.

        A flush under way is waited for: what was gathered meanwhile is folded with the next batch. Another one right
        after it would store nearly all of the same again.
        """
        if self._one_flush.locked():
            async with self._one_flush:
                return False
        return await self.flush()

    async def flush(self) -> bool:
        """Store what was applied and commit it, as long as we are members of the group; whether that was done.

        One flush at a time, part by part; batches are taken in between.
        """
        term = self.ledger.term
        async with self._one_flush:
            part = await self._part(term, first=True)
            while part is Part.MORE:
                self.parts += 1
                part = await self._part(term)
        if part is Part.REFUSED:
            self._policy.postponed(monotonic())
        return part is Part.LAST

    async def release(self, patience: float | None = None) -> None:
        """Give all partitions up: take nothing more, wait for the flush in flight, flush, commit, forget.

        `patience`: seconds that these flushes may take, if not as many as in every revocation.
        """
        self.ledger.close()
        if not self.ledger.partitions:
            return
        self._final = asyncio.create_task(self.flush(), name="last flush before revocation")
        self._taken.set()  # whoever has let batches in goes on
        patience = self._patience if patience is None else patience
        await asyncio.wait({self._final}, timeout=patience)
        self._to_revoke += self._drop()
        if self._final.done():
            async with self._turn():  # tells the processor
                pass
        else:  # it is told when that flush is over
            logger().warning("flush_too_slow", topic=self._topic, seconds=patience, effect="read again")

    async def keep_flushing(self) -> None:
        """Flush when the policy says so, until `end`."""
        while not self._ending:
            await self._sleep_until_due()
            if not self._ending:
                await self.flush()

    async def keep_advancing(self) -> None:
        """Let the processor work off what it is behind with, slice by slice, until `end`."""
        while not self._ending:
            self._behind.clear()
            while not self._ending and await self._advance():
                pass
            await self._behind.wait()

    async def _advance(self) -> bool:
        """A slice, and then a pause for batches; whether there is more."""
        more = False
        async with self._turn() as alive:
            began = monotonic()
            if alive and self.ledger.partitions and self._processor.behind and await self._may_store():
                await self._processor.advance()
                self.parts += 1
                more = True
        if more:
            await self._let_batches_in(monotonic() - began)
        return more

    def end(self) -> None:
        """No new partitions, and no flush but that of the release; the one in flight is not interrupted."""
        self._ending = True
        self._wake.set()
        self._behind.set()
        self._taken.set()

    def fail(self, error: BaseException) -> None:
        """End: the first failure is the one that is told."""
        if not self.failure.done():
            self.failure.set_result(error)

    def show_lag(self, ends: dict[int, int]) -> None:
        if self._metrics is not None:
            for partition, lag in self.ledger.lags(ends).items():
                self._metrics.lag.labels(self._topic, partition).set(lag)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """The processor is ours alone; False if it must not be called any more. What is raised inside ends it all."""
        async with self._lock:
            try:
                if self._to_revoke and not self.failure.done():
                    await self._tell_revoked()
                yield not self.failure.done()
            except Exception as error:  # noqa: BLE001 - not swallowed: ends the member with this error
                self.fail(error)

    async def _apply(self, fetched: Fetched) -> None:
        batch = fetched.batch
        events = await self._processor.apply(batch)
        self.ledger.applied(fetched)
        remaining = batch.end - batch.records[-1].offset - 1
        self._policy.applied(batch.partition, len(batch.records), remaining, monotonic())
        self._count(batch.partition, events, remaining)
        self._wake.set()
        self._behind.set()

    async def _part(self, term: int, *, first: bool = False) -> Part:
        """A part of a flush that was asked for in this term, and then a pause for batches if it was not the last."""
        found, began = Part.REFUSED, monotonic()
        async with self._turn() as alive:
            if alive and self.ledger.partitions and term == self.ledger.term and await self._may_store():
                began = monotonic()
                if first:
                    self._policy.began(began)
                found = await self._store(term)
        if found is Part.MORE:
            await self._let_batches_in(monotonic() - began)
        return found

    async def _store(self, term: int) -> Part:
        stored = await self._processor.flush()
        self._behind.set()
        if stored is None:
            return Part.MORE
        self._policy.flushed(monotonic())
        self.ledger.stored(stored, term)  # nothing, if it took so long that the partitions are somebody else's now
        if committable := self.ledger.committable():
            await self._commit(committable)
        return Part.LAST

    async def _let_batches_in(self, seconds: float) -> None:
        """Wait for the batches that there are, which come one by one.

        Until taking them took BATCHES_FIRST times as long as the part did.
        Other parts may come in between; should no batch come although there are some, it waits twice that time at most.
        """
        seconds = BATCHES_FIRST * min(seconds, LONG_PART_SECONDS)
        until, enough = monotonic() + 2 * seconds, self._taken_for + seconds
        while self.more_to_take and self._taken_for < enough and (left := until - monotonic()) > 0:
            self._taken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._taken.wait()

    @property
    def more_to_take(self) -> bool:
        """A batch wants its turn, or will: the log has more. Not while there is no room, or all is being given up."""
        if self._taking:
            return True
        assert self.group is not None
        releasing = self._ending or (self._final is not None and not self._final.done())
        return not (releasing or self.full or self._making_room) and self.group.left() > 0

    async def _may_store(self) -> bool:
        """Asked before every part: nothing is stored for a log that is another one, or that is somebody else's."""
        assert self.group is not None
        if not await self._still_ours():
            return False
        await self.group.check_log()
        return True

    async def _still_ours(self) -> bool:
        """The broker has said, within half a session, that we are members: so nobody else owns our partitions yet.

        A process that was stopped for longer must not store, let alone commit, what others have taken over.
        """
        assert self.group is not None
        if self.group.expelled():
            await self._lose()
            return False
        if monotonic() - self._confirmed < self._confirm_after:
            return True
        if not self.ledger.claims():  # assigned, but not begun
            return True
        return await self._commit(self.ledger.claims()) is Commit.DONE

    async def _commit(self, offsets: dict[int, int]) -> Commit:
        assert self.group is not None
        term, asked = self.ledger.term, monotonic()
        outcome = await self.group.commit_offsets(offsets)
        if term != self.ledger.term:
            return Commit.EXPELLED
        if outcome is Commit.DONE:
            self.ledger.committed(offsets, term)
            self._confirmed = asked
        elif outcome is Commit.EXPELLED:
            await self._lose()
        else:
            logger().warning("commit_unanswered", topic=self._topic, offsets=offsets, effect="tried again")
        return outcome

    async def _lose(self) -> None:
        """Within a turn: the partitions went to others without our being asked."""
        logger().warning("expelled", topic=self._topic, partitions=self.ledger.partitions, effect="unflushed dropped")
        self.ledger.close()
        self._to_revoke += self._drop()
        await self._tell_revoked()

    def _drop(self) -> tuple[int, ...]:
        self._policy.forget()
        self._taken.set()
        partitions = self.ledger.forget()
        if self._metrics is not None:
            for partition in partitions:
                self._metrics.lag.labels(self._topic, partition).set(0)
        return partitions

    async def _tell_revoked(self) -> None:
        partitions, self._to_revoke = self._to_revoke, ()
        if partitions:
            await self._processor.revoked(partitions)

    async def _sleep_until_due(self) -> None:
        while not self._ending and (left := self._policy.due() - monotonic()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(min(left, HEARTBEAT_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _count(self, partition: int, taken: int, remaining: int) -> None:
        if self._metrics is not None:
            self._metrics.events_in.labels(self._topic).inc(taken)
            self._metrics.batch_size.labels(self._topic).observe(taken)
            self._metrics.lag.labels(self._topic, partition).set(remaining)
