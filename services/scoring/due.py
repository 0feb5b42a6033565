"""What a clock record makes due: worked off in slices, between which events are taken.

A clock record at offset t with time `now` evaluates every relationship of its partition that is due by then, as if all
of that happened at t. Until it is over, the partition's committed offset stays at t, and an event of a relationship
whose turn has not come yet has it evaluated first: so what is said never depends on the slices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from time import monotonic

from services.scoring.decode import Tick
from services.scoring.loading import Loader
from services.scoring.progress import PartitionProgress
from services.scoring.storing import Storing
from shared.domain.columns.block import Block
from shared.domain.columns.row import Row
from shared.domain.engine.one_event import fresh
from shared.domain.engine.step import tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence, position_of
from shared.patience import Retry
from shared.storage.store import StateStore

SLICE_SECONDS = 0.02  # about how long a slice takes; one that is out of the common takes five times as long
LEAST, FIRST, MOST = 5, 25, 2_000  # relationships of a slice
PAGE = 1_000  # ids of relationships that the store is asked for at once


class SliceSize:
    """How many relationships make a slice: as many as were worked on in SLICE_SECONDS lately."""

    def __init__(self) -> None:
        self.rows = FIRST

    def took(self, rows: int, seconds: float) -> None:
        """So many have taken so long."""
        if 2 * rows < self.rows and seconds < SLICE_SECONDS:
            return  # so few say little
        wanted = round(rows * SLICE_SECONDS / seconds) if seconds > 0 else MOST
        self.rows = min(max(wanted, LEAST), 2 * self.rows, MOST)  # one quick slice does not decide


class DueWork:
    """For the partitions of a worker, `owned`."""

    def __init__(
        self,
        store: StateStore,
        loader: Loader,
        block: Block,
        terms: Terms,
        storing: Storing,
        owned: Mapping[int, PartitionProgress],
        retry: Retry,
        publish_early: Callable[[int, Sequence[Row]], Awaitable[None]],
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """`publish_early`: stores and publishes at once what a clock record has changed of these rows' flags."""
        self._store = store
        self._loader = loader
        self._block = block
        self._terms = terms
        self._storing = storing
        self._owned = owned
        self._retry = retry
        self._publish_early = publish_early
        self._timer = timer
        self._in_memory, self._from_store = SliceSize(), SliceSize()

    @property
    def behind(self) -> bool:
        """Whether any clock record is not over."""
        return any(owned.ticks for owned in self._owned.values())

    def begin(self, owned: PartitionProgress, record: Tick) -> None:
        """A clock record has been read; one that is not later than those before it says nothing new."""
        if record.now > owned.clock:
            owned.ticks.append(record)
            owned.look_up_anew()

    async def catch_up(self, number: int, rows: Sequence[Row]) -> None:
        """Events of these rows, which come after the clock records, are about to be folded."""
        owned = self._owned[number]
        if owned.ticks and (due := list(self._due(owned, number, rows))):
            await self._evaluate(number, due)

    async def advance(self) -> None:
        """A slice."""
        number = next(number for number, owned in self._owned.items() if owned.ticks)
        owned, began = self._owned[number], self._timer()
        in_memory = self._block.due(owned.ticks[-1].now, number)
        if rows := list(islice(self._due(owned, number, in_memory), self._in_memory.rows)):
            await self._evaluate(number, rows)
            self._in_memory.took(len(rows), self._timer() - began)
            return
        if not owned.due_found and not owned.due_over:
            await self._look_up(owned, number)  # by itself: a page of them takes as long as a slice
        elif missing := self._missing(owned):
            await self._evaluate(number, list(self._due(owned, number, await self._load(owned, number, missing))))
            self._from_store.took(len(missing), self._timer() - began)
        elif not owned.due_found:
            self._end(owned)

    def _due(self, owned: PartitionProgress, number: int, rows: Iterable[Row]) -> Iterator[Row]:
        """Those that a clock record which is not over finds due."""
        last = owned.ticks[-1]
        place = Fence(self._storing.incarnation, number, last.position)
        return (row for row in rows if 0 < row.state.next_due_at <= last.now and fresh(row.state, place))

    def _missing(self, owned: PartitionProgress) -> list[str]:
        """The next relationships that are due, and not in memory; perhaps none, although there are others."""
        taken, owned.due_found = owned.due_found[: self._from_store.rows], owned.due_found[self._from_store.rows :]
        return [id for id in taken if id not in self._block.rows]  # an event may have brought it in meanwhile

    async def _look_up(self, owned: PartitionProgress, number: int) -> None:
        """Ask the store for the next that are due, in the order of their due moments.

        What is stored behind these meanwhile has been evaluated, or knows of events after the clock record.
        """
        find = partial(self._store.due, number, owned.ticks[-1].now, PAGE, owned.due_seen)
        found = await self._retry(find, "due")
        owned.due_seen = found[-1] if found else owned.due_seen
        owned.due_found = [one.id for one in found if one.id not in self._block.rows]
        owned.due_over = len(found) < PAGE

    async def _load(self, owned: PartitionProgress, number: int, ids: Sequence[str]) -> list[Row]:
        end = Fence(self._storing.incarnation, number, position_of(owned.end))
        load = partial(self._loader.load, ids, owned.ticks[0].now, owned.ticks[0].position, end)
        return await self._retry(load, "load")

    async def _evaluate(self, number: int, rows: Sequence[Row]) -> None:
        owned, changed = self._owned[number], dict[str, Row]()
        for record in owned.ticks:
            place = Fence(self._storing.incarnation, number, record.position)
            mine = [row for row in rows if 0 < row.state.next_due_at <= record.now and fresh(row.state, place)]
            if mine:
                tick(self._block, mine, record.now, self._terms, place)
                changed |= {row.state.id: row for row in mine if _said_by(row, place)}
        if changed:
            await self._note_unpublished(owned, list(changed))
        owned.touched.update((row.state.id, row) for row in rows)
        await self._publish_early(number, list(changed.values()))

    async def _note_unpublished(self, owned: PartitionProgress, changed: Sequence[str]) -> None:
        """Before states are stored whose flags a clock record has changed.

        Events are read again after a crash and find the relationships they changed; a clock record would find nothing
        due any more, so what it changed would never be published.
        """
        owned.state.unpublished = tuple(dict.fromkeys((*owned.state.unpublished, *changed)))
        await self._storing.save_states([owned])

    def _end(self, owned: PartitionProgress) -> None:
        """Nothing is due any more. The partition's clock moves when all of it is stored."""
        owned.over = owned.ticks[-1]
        owned.ticks = []
        owned.look_up_anew()


def _said_by(row: Row, place: Fence) -> bool:
    """Whether the record there has changed a flag of the row, or its words."""
    causes = [change.cause for change in row.state.changes[-1:]]
    causes += [flag.cause for flag in row.state.flags.values()]
    return any((cause.incarnation, cause.position) == (place.incarnation, place.position) for cause in causes)
