"""A consumer group of a MemoryLog: stepwise for tests that decide every turn, or running by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

from shared.stream.ports import Batch, Processor

BATCH_LIMIT = 500
IDLE_SECONDS = 1.0  # as the real member: flush() is called at least this often


class _Log(Protocol):
    def partitions_of(self, topic: str) -> int: ...

    def fetch(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None: ...

    async def wait_for_append(self) -> None: ...


async def flush_all(processor: Processor) -> Mapping[int, int]:
    """Have a processor store everything that was applied; the next offsets to read, by partition."""
    stored = await processor.flush()
    while stored is None or processor.full():
        stored = await processor.flush()
    return stored


class MemoryGroup:
    """Committed offsets, and the members among which the partitions are dealt round."""

    def __init__(self, log: _Log, topic: str) -> None:
        self.log = log
        self.topic = topic
        self.committed: dict[int, int] = {}
        self.members: list[MemoryMember] = []
        self._rebalancing = asyncio.Lock()

    async def join(self, member: MemoryMember) -> None:
        async with self._rebalancing:
            await self._rebalance([*self.members, member])

    async def leave(self, member: MemoryMember) -> None:
        async with self._rebalancing:
            await self._rebalance([other for other in self.members if other is not member])

    async def _rebalance(self, members: list[MemoryMember]) -> None:
        for member in self.members:
            await member.revoke()
        self.members = members
        count = self.log.partitions_of(self.topic)
        for index, member in enumerate(members):
            await member.assign(range(index, count, len(members)))


class MemoryMember:
    """GroupMember on a MemoryLog. `step` and `drain` run it turn by turn; `run` runs it until it is stopped."""

    def __init__(self, group: MemoryGroup, processor: Processor, *, batch_limit: int = BATCH_LIMIT) -> None:
        self._group = group
        self._processor = processor
        self._limit = batch_limit
        self._positions: dict[int, int] = {}
        self._frozen = False
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()

    @property
    def committed(self) -> Mapping[int, int]:
        """The group's committed offsets, by partition."""
        return dict(self._group.committed)

    @property
    def partitions(self) -> tuple[int, ...]:
        return tuple(self._positions)

    async def step(self) -> int:
        """Take the next batch of every partition that has one, in order; the number of records taken."""
        await self._ensure_joined()
        taken = sum([await self._take(partition) for partition in tuple(self._positions)])
        await self._catch_up()
        return taken

    async def drain(self) -> int:
        """Take everything there is, then flush and commit; the number of records taken."""
        total = 0
        while taken := await self.step():
            total += taken
        await self.flush()
        while self._processor.behind:  # what there was no room for before
            await self._catch_up()
            await self.flush()
        return total

    async def flush(self) -> None:
        """Flush the processor and commit what it stored; batches may be taken between the parts."""
        while not await self.flush_part():
            pass

    async def flush_part(self) -> bool:
        """One part of a flush; whether it was the last one, after which is committed what the flush has stored."""
        async with self._turn:
            return await self._part()

    async def kill(self) -> None:
        """As kill -9: nothing is flushed or committed, and the others take over from the committed offsets."""
        self._positions = {}
        await self._group.leave(self)

    async def freeze(self) -> None:
        """As SIGSTOP for longer than the session: the others take over, and this member does not know it.

        `flush` is then a flush in which it was stopped: the processor stores, which only its fences can refuse, and
        nothing is committed. With the next `step` it notices, forgets and joins again.
        """
        self._frozen = True
        await self._group.leave(self)

    async def run(self) -> None:
        await self._ensure_joined()
        try:
            while not self._stopping.is_set():
                waiting = asyncio.create_task(self._group.log.wait_for_append())
                await asyncio.sleep(0)  # from here on no append goes unnoticed
                await self.drain()
                await self._wait(waiting)
        except BaseException:
            await self.kill()
            raise
        await self._group.leave(self)

    async def stop(self) -> None:
        self._stopping.set()

    async def assign(self, partitions: range) -> None:
        async with self._turn:
            await self._processor.assigned(list(partitions))
            self._positions = {partition: self._group.committed.get(partition, 0) for partition in partitions}

    async def revoke(self) -> None:
        """Flush, commit and forget; a killed or frozen member no longer can."""
        if self._frozen or not self._positions:
            return
        async with self._turn:
            while not await self._part():
                pass
            partitions, self._positions = tuple(self._positions), {}
            await self._processor.revoked(partitions)

    async def _ensure_joined(self) -> None:
        if self not in self._group.members:
            if self._frozen:  # awake again: what was ours may be somebody else's
                self._frozen = False
                partitions, self._positions = tuple(self._positions), {}
                await self._processor.revoked(partitions)
            await self._group.join(self)

    async def _take(self, partition: int) -> int:
        async with self._turn:
            if partition not in self._positions:  # revoked meanwhile
                return 0
            batch = self._group.log.fetch(self._group.topic, partition, self._positions[partition], self._limit)
            if batch is None:
                return 0
            await self._processor.apply(batch)
            self._positions[partition] = batch.records[-1].offset + 1
            while self._processor.full():
                await self._part()
            return len(batch.records)

    async def _catch_up(self) -> None:
        while self._processor.behind:
            async with self._turn:
                if self._processor.behind:  # no revocation has come first
                    await self._processor.advance()

    async def _part(self) -> bool:
        stored = await self._processor.flush()
        if stored is None:
            return False
        if self in self._group.members and not self._frozen:
            self._group.committed.update({p: offset for p, offset in stored.items() if p in self._positions})
        return True

    async def _wait(self, waiting: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self._wait_for_stop())
        await asyncio.wait({waiting, stopping}, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _wait_for_stop(self) -> None:
        await self._stopping.wait()
