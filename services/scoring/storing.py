"""Storing what was folded and telling of it: for as long as it takes, and only what is of the log there is now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from time import monotonic

from services.scoring.progress import FlushCheckpoint, PartitionProgress, documents_of, entries_in, entries_of
from services.scoring.rate_controller import RateController
from services.scoring.saving import Saver
from services.scoring.updates import update_batches
from shared import wire
from shared.domain.columns.row import Row
from shared.domain.contract.events import Millis
from shared.domain.engine.changes import forget_published
from shared.domain.errors import Misconfigured, Passing, Unavailable
from shared.domain.relationship.fence import Fence, position_of
from shared.patience import Retry
from shared.storage.store import StateStore
from shared.stream.ports import Message, Publisher
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics


class Storing:
    """For the partitions of a worker, `owned`. Whatever it raises ends the process."""

    def __init__(
        self,
        store: StateStore,
        saver: Saver,
        publisher: Publisher,
        owned: Mapping[int, PartitionProgress],
        retry: Retry,
        metrics: Metrics,
        clock: Callable[[], Millis],
        *,
        partitions: int,
        rate: RateController,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """`partitions`: how many `rapport.interactions` must have; `rate` learns how long writes take."""
        self._store = store
        self._saver = saver
        self._publisher = publisher
        self._owned = owned
        self._retry = retry
        self._metrics = metrics
        self._clock = clock
        self._partitions = partitions
        self._rate = rate
        self._timer = timer
        self.incarnation = ""  # of the log that is being read
        self._entries = 0
        self.entries_so_far = 0  # timeline entries that have ever been folded

    async def begin(self) -> None:
        """Read the log as it is now. Raises Misconfigured where it is not what the settings say."""
        self.incarnation = await self._read_incarnation()

    @property
    def entries(self) -> int:
        """Timeline entries that have been folded and not stored yet."""
        return self._entries

    def note_entries(self, more: int) -> None:
        """So many more have been folded."""
        self._entries += more
        self.entries_so_far += more

    def note_revoked(self) -> None:
        """Some partitions are gone from `owned`, with what was not stored of them."""
        self._entries = entries_of(self._owned.values())

    async def store_and_publish(
        self,
        rows: Mapping[int, Sequence[Row]],
        checkpoints: Mapping[int, FlushCheckpoint] | None = None,
        *,
        learn: bool = True,
    ) -> None:
        """These rows by partition, which are then no longer to be stored; the pace learns from how long it takes."""
        together = [row for some in rows.values() for row in some]
        await self._check_incarnation()
        if not together:
            return
        documents, began = documents_of(together), self._timer()
        await self._save(together)
        if learn:
            self._rate.stored(documents, self._timer() - began)
        for number, some in rows.items():
            await self._publish(
                number, some, checkpoints[number].received if checkpoints else self._owned[number].received
            )

    async def flush_early(self, number: int, rows: Sequence[Row]) -> None:
        """Store and tell at once what has raised or cleared a flag: it does not wait for all that the next flush holds.

        Every document stands by itself, so it may be stored before others; nothing is committed before all are. So
        few documents say little of how many are written in a second.
        """
        if rows:
            await self.store_and_publish({number: rows}, learn=False)

    async def save_states(self, partitions: Sequence[PartitionProgress]) -> None:
        """The states of these partitions."""
        await self._retry(partial(self._saver.save, (), [owned.state for owned in partitions]), "save")
        for owned in partitions:
            owned.state.rev += 1
            owned.moved = False

    async def save_moved(self) -> None:
        """The states that differ from what is stored."""
        moved = [owned for owned in self._owned.values() if owned.moved]
        if moved:
            await self._check_incarnation()
            await self.save_states(moved)

    async def hand_on(self, topic: str, partition: int, messages: Sequence[Message], operation: str) -> None:
        """Publish. Told to stop while the broker is silent, store what was folded: it must not end with the log."""
        try:
            await self._retry(partial(self._publisher.publish, topic, partition, messages), operation)
        except Unavailable:
            await self._save([row for owned in self._owned.values() for row in owned.touched.values() if row.unsaved])
            raise

    async def _read_incarnation(self) -> str:
        known = await self._retry(partial(self._store.incarnation, INTERACTIONS), "incarnation")
        if known is None:
            raise Misconfigured(f"{INTERACTIONS} has no incarnation in the store: run `rapport init` first.")
        if known.partitions != self._partitions:
            raise Misconfigured(
                f"{INTERACTIONS} was created with {known.partitions} partitions, the settings say {self._partitions}:"
                f" set RAPPORT_PARTITIONS={known.partitions}."
            )
        return known.incarnation

    async def _check_incarnation(self) -> None:
        """Offsets of another log say nothing about this one."""
        if await self._read_incarnation() != self.incarnation:
            raise Passing(f"{INTERACTIONS} was recreated: starting again with the new log.")

    async def _save(self, rows: Sequence[Row]) -> None:
        entries = entries_in(rows)
        await self._retry(partial(self._saver.save, rows, ()), "save")
        self._entries -= entries
        for owned in self._owned.values():
            owned.note_stored()

    async def _publish(self, number: int, rows: Collection[Row], received: Millis) -> None:
        """Tell of these rows of a partition, which are stored; they need not be told again."""
        owned, now = self._owned[number], self._clock()
        since = Fence(self.incarnation, number, position_of(owned.flushed))
        batches = update_batches(rows, since, now, received)
        messages = [Message(wire.encode(batch), timestamp=now) for batch in batches]
        await self.hand_on(UPDATES, number, messages, "publish")
        self._metrics.events_out.labels(UPDATES).inc(len(rows))
        owned.note_published({row.state.id for row in rows})
        for row in rows:
            if not forget_published(row, self.incarnation):
                del owned.touched[row.state.id]
