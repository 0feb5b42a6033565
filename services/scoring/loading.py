"""Bringing into the block what a batch needs: heads, counters, event ids, and timeline entries it may meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.scoring.saving import head_fields
from shared.domain.block import TOTAL_DAYS, Block, Row
from shared.domain.corrections import target_of
from shared.domain.dedup import IdChunk
from shared.domain.engine import Item, Known
from shared.domain.errors import Misconfigured
from shared.domain.events import DAY, EventClass, Millis, event_key, event_type
from shared.domain.fence import Fence
from shared.domain.relationship import Head
from shared.domain.times import parse_moment
from shared.domain.touchpoints import Touchpoint, touchpoint_id
from shared.domain.usage import day_of, month_id, month_of
from shared.storage.store import DedupChunk, StateStore


class Loader:
    """Loads misses in bulk, so that the engine finds every relationship of a batch in the block."""

    def __init__(self, store: StateStore, block: Block, dedup_window: Millis) -> None:
        self._store = store
        self._block = block
        self._window = dedup_window

    async def prepare(self, items: Sequence[Item], here: Fence) -> Known:
        """Everything `step_many` needs for these items. `here.offset` is the end of the partition's log."""
        named = {f"{item.event.tenant}/{item.event.relationship}": item for item in items}
        await self.load(named, min(item.received for item in items), here, create=named)
        known = Known({}, {})
        await self._known_touchpoints(items, known)
        await self._timelines(items, known)
        await self._old_months(items, known)
        return known

    async def load(
        self, ids: Iterable[str], now: Millis, here: Fence, create: dict[str, Item] | None = None
    ) -> list[Row]:
        """Rows of these relationships; `create` makes those that the store does not have.

        No record is received before `now`: event ids are known as far back as the window reaches from there.
        """
        wanted = list(ids)
        missing = [id for id in wanted if id not in self._block.rows]
        if missing:
            await self._load_missing(missing, now, here, create or {})
        return [self._block.rows[id] for id in wanted if id in self._block.rows]

    async def _load_missing(self, missing: list[str], now: Millis, here: Fence, create: dict[str, Item]) -> None:
        heads = await self._store.heads(missing)
        stored = list(heads)
        since = month_of(day_of(min([now, *(head.clock or now for head in heads.values())])) - TOTAL_DAYS)
        months = await self._store.months(stored, since) if stored else []
        chunks = await self._store.dedup_chunks(stored, now - self._window - DAY) if stored else []
        for id in missing:
            head = heads.get(id)
            if head is None and id in create:
                event = create[id].event
                self._block.add(Head(id=id, tenant=event.tenant, relationship=event.relationship))
            elif head is not None:
                _refuse_future(head, here)
                row = self._block.add(head, unknown_months=True)
                row.stored = head_fields(head)
                row.ids.load(_chunk(chunk) for chunk in chunks if f"{chunk.tenant}/{chunk.relationship}" == id)
        for month in months:
            self._block.add_month(self._block.rows[f"{month.tenant}/{month.relationship}"], month)

    async def _known_touchpoints(self, items: Sequence[Item], known: Known) -> None:
        """Timeline entries that these touchpoints may be duplicates of: relationships never stored have none."""
        ids = [
            touchpoint_id(item.event.tenant, item.event.relationship, event_key(item.event.source, item.event.id))
            for item in items
            if event_type(item.event.type).kind is EventClass.TOUCHPOINT and self._row(item).stored_rev
        ]
        if ids:
            known.touchpoints.update(await self._store.touchpoints(ids))

    async def _timelines(self, items: Sequence[Item], known: Known) -> None:
        for item in items:
            row = self._row(item)
            if event_type(item.event.type).kind is EventClass.CORRECTION and row.head.id not in known.timelines:
                timeline: list[Touchpoint] = []
                if row.stored_rev:
                    timeline = await self._store.whole_timeline(row.head.tenant, row.head.relationship)
                known.timelines[row.head.id] = timeline

    async def _old_months(self, items: Sequence[Item], known: Known) -> None:
        """Months further back than the series reach, when an event or a correction touches them."""
        touched: dict[str, tuple[Row, str]] = {}
        for item in items:
            row = self._row(item)
            if not row.unknown_months:
                continue
            for day in _days(item, known):
                month = month_of(day)
                if month not in row.cells:
                    touched[month_id(row.head.tenant, row.head.relationship, month)] = (row, month)
        if touched:
            found = await self._store.months_by_id(list(touched))
            for id, document in found.items():
                self._block.add_month(touched[id][0], document)

    def _row(self, item: Item) -> Row:
        return self._block.rows[f"{item.event.tenant}/{item.event.relationship}"]


def _days(item: Item, known: Known) -> set[int]:
    """The days whose counters an item may touch."""
    if item.usage is not None:
        return {item.usage.day}
    days = {day_of(item.event.time)}
    if event_type(item.event.type).kind is EventClass.CORRECTION:
        target = target_of(item.event, item.data)
        timeline = known.timelines[f"{item.event.tenant}/{item.event.relationship}"]
        days.update(day_of(entry.time) for entry in timeline if entry.event == target)
        moved_to = item.data.get("replacement", {}).get("time")
        if moved_to is not None:
            days.add(day_of(parse_moment(moved_to)))
    return days


def _chunk(document: DedupChunk) -> IdChunk:
    fence = Fence(document.incarnation, document.partition, document.offset)
    chunk = IdChunk(document.number, document.rev, fence)
    chunk.entries = list(zip(document.hashes, document.offsets, document.received, strict=True))
    return chunk


def _refuse_future(head: Head, here: Fence) -> None:
    """A fence beyond the log's end means that the log is not the one the state was made from."""
    if (head.incarnation, head.partition) == (here.incarnation, here.partition) and head.offset >= here.offset:
        raise Misconfigured(
            f"{head.id} has been folded up to offset {head.offset} of partition {head.partition}, but the log ends at"
            f" {here.offset}: rapport.interactions was recreated behind Rapport's back. Stop all services, run"
            " `rapport init --new-incarnation` and start them again."
        )
