"""What a member of a consumer group knows about its partitions: applied up to, stored up to, committed up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from shared.stream.ports import Batch


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """A batch, the epoch in which it was fetched, and how many came before it on its partition in that epoch."""

    batch: Batch
    epoch: int
    sequence: int


class Lost(Exception):
    """A fetched batch never arrived: to go on would move the watermark past records that were not applied."""


class Ledger:
    """The epoch rises when no further batch may be taken, the term when the partitions are no longer ours.

    One of each for all partitions, since a rebalance revokes all of them.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.term = 0
        self.partitions: tuple[int, ...] = ()
        self._positions: dict[int, int] = {}  # the next offset to apply
        self._sequence: dict[int, int] = {}
        self._stored: dict[int, int] = {}  # state is stored up to here: what may be committed
        self._committed: dict[int, int] = {}

    def assign(self, partitions: Sequence[int]) -> None:
        self.partitions = tuple(sorted(partitions))

    def begin(self, starts: Mapping[int, int]) -> None:
        """Reading starts at these offsets, in the present epoch; of what is not ours, nothing is taken."""
        ours = {partition: offset for partition, offset in starts.items() if partition in self.partitions}
        self._positions = dict(ours)
        self._sequence = dict.fromkeys(ours, 0)
        self._stored = dict(ours)
        self._committed = dict(ours)

    def close(self) -> None:
        """Take no batch that has been fetched so far."""
        self.epoch += 1

    def forget(self) -> tuple[int, ...]:
        """The partitions are no longer ours; which they were."""
        partitions, self.partitions = self.partitions, ()
        self.term += 1
        self.begin({})
        return partitions

    def takes(self, fetched: Fetched) -> bool:
        """Whether the batch is to be applied; raises Lost where one before it is missing."""
        partition = fetched.batch.partition
        if fetched.epoch != self.epoch or partition not in self._sequence:
            return False
        if fetched.sequence != self._sequence[partition]:
            raise Lost(
                f"Batch {fetched.sequence} of {fetched.batch.topic}/{partition} came where {self._sequence[partition]} "
                "was expected. Start the process again: it continues from the committed offset."
            )
        return True

    def applied(self, fetched: Fetched) -> None:
        batch = fetched.batch
        if batch.partition in self._positions:
            self._positions[batch.partition] = batch.records[-1].offset + 1
            self._sequence[batch.partition] = fetched.sequence + 1

    def stored(self, offsets: Mapping[int, int], term: int) -> None:
        """State is stored up to these offsets, by a flush that began in `term`; another term's count for nothing."""
        if term != self.term:
            return
        for partition, offset in offsets.items():
            if partition not in self._positions:
                continue
            if offset > self._positions[partition]:
                raise ValueError(
                    f"flush() says that {partition} is stored up to {offset}, but only "
                    f"{self._positions[partition]} was applied"
                )
            self._stored[partition] = max(self._stored[partition], offset)

    def stored_up_to(self, partition: int) -> int | None:
        return self._stored.get(partition)

    def committable(self) -> dict[int, int]:
        """Stored but not yet committed."""
        return {p: offset for p, offset in self._stored.items() if offset > self._committed[p]}

    def committed(self, offsets: Mapping[int, int], term: int) -> None:
        if term == self.term:
            self._committed.update(offsets)

    def claims(self) -> dict[int, int]:
        """What is committed as far as we know: to commit it again asks if we are members, and changes nothing."""
        return dict(self._committed)

    def positions(self) -> dict[int, int]:
        """The next offset to apply, by partition."""
        return dict(self._positions)

    def lags(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Records not yet applied, by partition, given the partitions' high watermarks."""
        return {p: max(0, ends[p] - position) for p, position in self._positions.items() if p in ends}
