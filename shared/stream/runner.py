"""Runs a processor: one call at a time, a watermark that follows what is stored, and nothing after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from time import monotonic
from typing import Protocol

from shared.stream.flush_policy import HEARTBEAT_SECONDS, FlushPolicy
from shared.stream.ledger import Fetched, Ledger
from shared.stream.ports import Processor
from shared.telemetry import Metrics, logger

REVOCATION_SECONDS = 10.0  # how long a revocation waits for the flush in flight


class Commit(Enum):
    """What became of a commit."""

    DONE = "done"
    EXPELLED = "expelled"  # the group went on without us: others may own our partitions
    UNAVAILABLE = "unavailable"  # the broker did not answer: to be repeated


class Group(Protocol):
    """The member's side of the consumer group."""

    async def commit_offsets(self, offsets: dict[int, int]) -> Commit: ...

    def expelled(self) -> bool:
        """Whether it is already known that the group went on without us."""
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
        self._to_revoke: tuple[int, ...] = ()
        self._final: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._ending = False

    async def assigned(self, partitions: Sequence[int]) -> None:
        """These are ours; records follow once the ledger has begun."""
        async with self._turn() as alive:
            if alive and not self._ending:
                self.ledger.assign(partitions)
                self._confirmed = monotonic()
                await self._processor.assigned(self.ledger.partitions)

    async def take(self, fetched: Fetched) -> None:
        """Apply a batch, unless it was fetched before the partitions were last revoked."""
        async with self._turn() as alive:
            if alive and self.ledger.takes(fetched):
                batch = fetched.batch
                await self._processor.apply(batch)
                self.ledger.applied(fetched)
                remaining = batch.end - batch.records[-1].offset - 1
                self._policy.applied(batch.partition, len(batch.records), remaining, monotonic())
                self._count(batch.partition, len(batch.records), remaining)
                self._hurry.set()

    async def flush(self) -> None:
        """Store what was applied and commit it, if we are still members of the group."""
        async with self._turn() as alive:
            if not (alive and self.ledger.partitions and await self._flush()):
                self._policy.postponed(monotonic())

    async def release(self) -> None:
        """Give all partitions up: take nothing more, wait for the flush in flight, flush, commit, forget."""
        self.ledger.close()
        if not self.ledger.partitions:
            return
        self._final = asyncio.create_task(self.flush(), name="last flush before revocation")
        await asyncio.wait({self._final}, timeout=self._patience)
        self._to_revoke += self._drop()
        if self._final.done():
            async with self._turn():  # tells the processor
                pass
        else:  # it is told when that flush is over
            logger().warning("flush_too_slow", topic=self._topic, seconds=self._patience, effect="read again")

    async def keep_flushing(self) -> None:
        """Flush when the policy says so, until `end`."""
        while not self._ending:
            await self._sleep_until_due()
            if not self._ending:
                await self.flush()

    def end(self) -> None:
        """No new partitions, and no flush but that of the release; the one in flight is not interrupted."""
        self._ending = True
        self._hurry.set()

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

    async def _flush(self) -> bool:
        assert self.group is not None
        if not await self._still_ours():
            return False
        await self.group.check_log()  # before anything is stored
        term, began = self.ledger.term, monotonic()
        stored = await self._processor.flush()
        self._policy.flushed(began, monotonic())
        self.ledger.stored(stored, term)  # nothing, if it took so long that the partitions are somebody else's now
        if committable := self.ledger.committable():
            await self._commit(committable)
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
            self._hurry.clear()
            try:
                await asyncio.wait_for(self._hurry.wait(), min(left, HEARTBEAT_SECONDS))
            except TimeoutError:
                continue

    def _count(self, partition: int, taken: int, remaining: int) -> None:
        if self._metrics is not None:
            self._metrics.events_in.labels(self._topic).inc(taken)
            self._metrics.batch_size.labels(self._topic).observe(taken)
            self._metrics.lag.labels(self._topic, partition).set(remaining)
