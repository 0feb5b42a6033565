"""Bringing into the block what a batch needs: states, counters, event ids, and timeline entries it may meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from services.scoring.progress import LATE
from services.scoring.saving import state_values
from shared.domain.columns.block import Block
from shared.domain.columns.dedup import Stored
from shared.domain.columns.id_chunks import IdChunk, unpack
from shared.domain.columns.months import Month, month_id
from shared.domain.columns.row import INBOUND, TOTAL_DAYS, Row
from shared.domain.contract.days import day_field, day_of, month_of
from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import DAY, Millis, event_key
from shared.domain.contract.times import parse_moment
from shared.domain.contract.types import event_type
from shared.domain.engine.corrections import target_id
from shared.domain.engine.run import Item, Prefetched, Run
from shared.domain.errors import Misconfigured
from shared.domain.relationship.fence import Fence, Fenced, offset_of, same_log
from shared.domain.relationship.fold import leaves_a_trace
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id
from shared.storage.store import DedupChunk, StateStore

LOAD_ROWS = 200  # loaded at once: their documents, which take more memory than they do, are there at the same time


class Loader:
    """Loads misses in bulk, so that the engine finds every relationship of a run in the block."""

    def __init__(self, store: StateStore, block: Block, dedup_days: int) -> None:
        self._store = store
        self._block = block
        self._window = dedup_days * DAY

    async def bring(self, run: Run, end: Fence) -> list[Row]:
        """The relationships of this run, in the block. `end` is the end of the partition's log."""
        rows = self._block.rows
        missing = [span.id for span in run.spans if span.id not in rows]
        if missing:
            await self.load(missing, min(run.received), min(run.positions), end)
        for id in missing:
            if id not in rows:
                tenant, relationship = id.split("/", 1)
                self._block.add(RelationshipState(id=id, tenant=tenant, relationship=relationship))
        return [rows[id] for id in dict.fromkeys(span.id for span in run.spans)]

    async def prefetch(self, run: Run, end: Fence) -> Prefetched:
        """What else `step_many` needs for this run. Until then nothing of its relationships may be stored: entries that
        wait to be stored are looked for with their row."""
        prefetched, items = Prefetched({}, {}), list(run.items.values())
        await self._known_touchpoints(items, prefetched)
        await self._timelines(items, prefetched)
        await self._old_months(self._needed_months(run, items, prefetched), end)
        return prefetched

    async def load(self, ids: Iterable[str], now: Millis, next: int, end: Fence) -> list[Row]:
        """Rows of those of these relationships that the store has.

        No record is received before `now`, but for those that are LATE: event ids are known as far back as the window
        reaches from there. `next` is the position of the next record to be folded, those from there on may have been
        folded before.
        """
        wanted = list(ids)
        missing = [id for id in wanted if id not in self._block.rows]
        for at in range(0, len(missing), LOAD_ROWS):
            await self._load_missing(missing[at : at + LOAD_ROWS], now, next, end)
        return [self._block.rows[id] for id in wanted if id in self._block.rows]

    async def _load_missing(self, missing: list[str], now: Millis, next: int, end: Fence) -> None:
        states = await self._store.states(missing)
        stored = list(states)
        if not stored:
            return
        clocks = min([now, *(state.clock or now for state in states.values())])
        carried = [int(day) for state in states.values() for day in state.score_days]
        since = month_of(min([day_of(clocks) - TOTAL_DAYS, *carried]))  # scores are recorded into their months
        months = await self._store.months(stored, since)
        chunks = await self._store.dedup_chunks(stored, (now - LATE) // DAY * DAY - self._window - 1)
        for state in states.values():
            _refuse_future(state, end)
            row = self._block.add(state, unknown_months=True)
            row.stored = state_values(state)
            row.published = next
            _note_folded(row, state, end)
        self._add_months([(self._row_of(month), month) for month in months], end)
        self._note_unrecorded(states.values(), months)
        self._add_chunks(chunks, next, end)
        for id in stored:
            self._block.weigh(self._block.rows[id])

    def _note_unrecorded(self, states: Iterable[RelationshipState], months: Iterable[Month]) -> None:
        """Scores that a state carries, and that their month does not have."""
        recorded = {(f"{month.tenant}/{month.relationship}", month.month): month.scores for month in months}
        for state in states:
            for name, pair in state.score_days.items():
                month, field = _place(name)
                known = recorded.get((state.id, month), {}).get(field)
                if known is None or tuple(known) != pair:
                    self._block.rows[state.id].unrecorded[int(name)] = pair

    def _add_months(self, months: Sequence[tuple[Row, Month]], end: Fence) -> None:
        self._block.add_months(months)
        for row, month in months:
            _note_folded(row, month, end)

    def _add_chunks(self, chunks: Iterable[DedupChunk], next: int, end: Fence) -> None:
        """Their ids, in the order of the chunks' numbers; the last one of a relationship may be gone on with."""
        parts = []
        for chunk in sorted(chunks, key=lambda chunk: chunk.number):
            row = self._row_of(chunk)
            again = (end.partition, next) if same_log(chunk, end) else None
            for part, packed in chunk.parts.items():
                parts.append(Stored(row.tag, chunk.number, *unpack(part, packed), again))
            row.chunks = [IdChunk(chunk.number, chunk.rev, chunk.count, chunk.newest)]
            row.chunks[0].fence = Fence(chunk.incarnation, chunk.partition, chunk.position)
            _note_folded(row, chunk, end)
        self._block.ids.load(parts)

    def _row_of(self, document: Month | DedupChunk) -> Row:
        return self._block.rows[f"{document.tenant}/{document.relationship}"]

    async def _known_touchpoints(self, items: Sequence[Item], prefetched: Prefetched) -> None:
        """Timeline entries that these touchpoints may be duplicates of: relationships never stored have none."""
        ids = [
            _entry_id(item)
            for item in items
            if event_type(item.event.type).kind is EventClass.TOUCHPOINT and self._row(item).stored_rev
        ]
        if ids:
            prefetched.touchpoints.update(await self._store.touchpoints(ids))

    async def _timelines(self, items: Sequence[Item], prefetched: Prefetched) -> None:
        """What corrections are about; and where one undoes what is left in the facts, the whole timeline."""
        corrections: dict[str, list[Item]] = {}
        for item in items:
            if event_type(item.event.type).kind is EventClass.CORRECTION:
                corrections.setdefault(self._row(item).state.id, []).append(item)
        stored = {id: mine for id, mine in corrections.items() if self._block.rows[id].stored_rev}
        targets = [target_id(item.event, item.data) for mine in stored.values() for item in mine]
        if targets:
            prefetched.touchpoints.update(await self._store.touchpoints(targets))
        touches = [item for item in items if event_type(item.event.type).kind is EventClass.TOUCHPOINT]
        coming, disordered = {_entry_id(item) for item in touches}, self._disordered(touches)
        for id, mine in corrections.items():
            row = self._block.rows[id]
            trace = row.state.disordered or id in disordered
            if not trace and not any(self._leaves_a_trace(row, item, prefetched, coming, len(mine)) for item in mine):
                prefetched.traceless.add(id)
            elif id in stored:
                prefetched.timelines[id] = await self._store.whole_timeline(row.state.tenant, row.state.relationship)

    def _disordered(self, touches: Sequence[Item]) -> set[str]:
        """The relationships of which these touchpoints are not in the order of their receipt.

        Facts are folded in the order of the log, and anew in that of receipt: only where that is one order can a
        correction do without folding them anew.
        """
        latest: dict[str, Millis] = {}
        found = set()
        for item in touches:
            state = self._row(item).state
            before = latest.get(state.id, state.touched_at)
            if item.received < before:
                found.add(state.id)
            latest[state.id] = max(before, item.received)
        return found

    def _leaves_a_trace(self, row: Row, item: Item, prefetched: Prefetched, coming: set[str], corrections: int) -> bool:
        """Whether facts would perhaps be others after this one, of so many corrections in the run.

        `coming`: entries of events in the run, which may be folded before it. Where documents hold more than the state,
        which is read again then, they say nothing of what it holds.
        """
        id = target_id(item.event, item.data)
        if item.event.type != "event.retracted" or item.position <= row.folded or id in coming:
            return True
        entry = _target(row, item, prefetched)
        if entry is None:
            return False
        if same_log(entry, row.state) and entry.event_position > row.state.position:
            return True
        same_day = self._block.columns.total_on(row, INBOUND, day_of(entry.time))
        return leaves_a_trace(row.state.facts, entry, 0.0 if same_day is None else same_day - corrections + 1)

    def _needed_months(self, run: Run, items: Sequence[Item], prefetched: Prefetched) -> dict[str, tuple[Row, str]]:
        """Months further back than the series reach, when an event or a correction touches them, by their ids."""
        touched: list[tuple[Row, int]] = []
        for span in run.spans:
            row = self._block.rows[span.id]
            if row.unknown_months:
                times = run.uses.times[span.start : span.end]
                days = {time // DAY for at, time in enumerate(times, span.start) if at not in run.items}
                touched += [(row, day) for day in days - row.days.keys()]
        for item in items:
            if (row := self._row(item)).unknown_months:
                touched += [(row, day) for day in _days(row, item, prefetched)]
        named = {(row.state.id, month_of(day)): row for row, day in touched}
        return {
            month_id(row.state.tenant, row.state.relationship, month): (row, month)
            for (_, month), row in named.items()
            if month not in row.cells
        }

    async def _old_months(self, needed: Mapping[str, tuple[Row, str]], end: Fence) -> None:
        if needed:
            found = await self._store.months_by_id(list(needed))
            self._add_months([(needed[id][0], month) for id, month in found.items()], end)

    def _row(self, item: Item) -> Row:
        return self._block.rows[f"{item.event.tenant}/{item.event.relationship}"]


@lru_cache(maxsize=4096)
def _place(day: str) -> tuple[str, str]:
    """Month and field of the scores of a day of `RelationshipState.score_days`."""
    return month_of(int(day)), day_field(int(day))


def _days(row: Row, item: Item, prefetched: Prefetched) -> set[int]:
    """The days whose counters an item may touch."""
    if item.usage is not None:
        return {item.usage.day}
    days = {day_of(item.event.time)}
    if event_type(item.event.type).kind is EventClass.CORRECTION:
        if (entry := _target(row, item, prefetched)) is not None:
            days.add(day_of(entry.time))
        moved_to = item.data.get("replacement", {}).get("time")
        if moved_to is not None:
            days.add(day_of(parse_moment(moved_to)))
    return days


def _entry_id(item: Item) -> str:
    """The id of the timeline entry of a touchpoint."""
    return touchpoint_id(item.event.tenant, item.event.relationship, event_key(item.event.source, item.event.id))


def _target(row: Row, item: Item, prefetched: Prefetched) -> Touchpoint | None:
    """The timeline entry that a correction is about, as it is stored or waits to be; None if it has not come."""
    id = target_id(item.event, item.data)
    return row.pending.get(id) or prefetched.touchpoints.get(id)


def _note_folded(row: Row, document: Fenced, end: Fence) -> None:
    """A document that holds records which may be read again makes the engine look at each of them."""
    if same_log(document, end):
        row.folded = max(row.folded, document.position)


def _refuse_future(state: RelationshipState, end: Fence) -> None:
    """A fence beyond the log's end means that the log is not the one the state was made from."""
    if same_log(state, end) and state.position >= end.position:
        raise Misconfigured(
            f"{state.id} has been folded up to offset {offset_of(state.position)} of partition {state.partition}, but"
            f" the log ends at {offset_of(end.position)}: rapport.interactions was recreated behind Rapport's back."
            " Stop all services, run `rapport init --new-incarnation` and start them again."
        )
