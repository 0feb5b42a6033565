"""A processor that writes down what it is told, and refuses calls that overlap."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from shared.stream.ports import Batch, NeverBehind


class Store:
    """What all processors of a test have stored: (offset, who) by partition, in the order of storing."""

    def __init__(self) -> None:
        self.rows: dict[int, list[tuple[int, str]]] = defaultdict(list)

    def offsets(self, partition: int = 0) -> list[int]:
        return [offset for offset, _ in self.rows[partition]]

    def count(self) -> int:
        return sum(len(set(self.offsets(partition))) for partition in list(self.rows))


class Recorder(NeverBehind):
    """`before_apply` may raise or wait; `hold` keeps flush() from storing what lies at or behind an offset.

    A part of a flush stores `part` offsets of a partition at most.
    """

    def __init__(
        self,
        store: Store,
        name: str = "one",
        *,
        before_apply: Callable[[Batch], None] | None = None,
        hold: int = 1 << 62,
        part: int = 1 << 62,
    ) -> None:
        self.store = store
        self.name = name
        self.calls: list[str] = []
        self.owned: set[int] = set()
        self.seen: dict[int, list[int]] = defaultdict(list)
        self._before_apply = before_apply
        self._hold = hold
        self._part = part
        self._reached: dict[int, int] | None = None  # of the flush under way
        self._unflushed: dict[int, list[int]] = defaultdict(list)
        self._positions: dict[int, int] = {}
        self._busy = False

    async def assigned(self, partitions: Sequence[int]) -> None:
        async with self._alone("assigned"):
            assert not self.owned, "partitions are revoked before new ones are assigned"
            self.owned = set(partitions)

    async def apply(self, batch: Batch) -> int:
        async with self._alone("apply"):
            assert batch.partition in self.owned
            if self._before_apply is not None:
                self._before_apply(batch)
            offsets = [record.offset for record in batch.records]
            assert offsets[-1] < batch.end
            self.seen[batch.partition] += offsets
            self._unflushed[batch.partition] += [offset for offset in offsets if offset < self._hold]
            self._positions[batch.partition] = min(offsets[-1] + 1, self._hold)
        return len(batch.records)

    def full(self) -> bool:
        return False

    async def flush(self) -> Mapping[int, int] | None:
        async with self._alone("flush"):
            reached = self._reached = self._reached or dict(self._positions)
            left = False
            for partition, offsets in self._unflushed.items():
                due = [offset for offset in offsets if offset < reached.get(partition, 0)]
                self.store.rows[partition] += [(offset, self.name) for offset in due[: self._part]]
                del offsets[: min(len(due), self._part)]
                left = left or len(due) > self._part
            if left:
                return None
            self._reached = None
            return reached

    async def revoked(self, partitions: Sequence[int]) -> None:
        async with self._alone("revoked"):
            assert set(partitions) == self.owned
            self.owned = set()
            self._unflushed.clear()
            self._positions = {}
            self._reached = None

    @asynccontextmanager
    async def _alone(self, call: str) -> AsyncIterator[None]:
        assert not self._busy, f"{call} overlaps {self.calls[-1]}"
        self._busy = True
        self.calls.append(call)
        await asyncio.sleep(0)  # gives an overlapping call the chance to show itself
        yield
        self._busy = False


async def until(
    condition: Callable[[], object], *, seconds: float = 40.0, of: Sequence[asyncio.Task[None]] = ()
) -> None:
    """Wait for a condition; a task that fails meanwhile fails the test with its error."""
    async with asyncio.timeout(seconds):
        while not condition():
            for task in of:
                if task.done():
                    await task
            await asyncio.sleep(0.01)
