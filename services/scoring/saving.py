"""Writing a block's changes back: conditional writes, state documents first, then counters, then the timeline.

What a state says was evaluated with the counters of its own fence. After a crash between the writes, the records are
read again, and every document takes what it does not have yet; a state that was evaluated with counters from beyond its
fence could not be put right. Months in which scores alone have changed go before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from shared.domain.columns.block import Block
from shared.domain.columns.counters import MonthCells
from shared.domain.columns.id_chunks import IdChunk, Unsaved, chunk_all
from shared.domain.columns.months import month_id
from shared.domain.columns.row import Row
from shared.domain.engine.display import refresh
from shared.domain.errors import Conflict
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.fence import Fence, Fenced
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.storage.documents import Plain, escape_key, plain
from shared.storage.store import PartitionState, StateStore, Write


class Saver:
    """Stores rows and partition states under this worker's name."""

    def __init__(self, store: StateStore, block: Block, writer: str) -> None:
        self._store = store
        self._block = block
        self._writer = writer

    async def save(self, rows: Sequence[Row], partitions: Iterable[PartitionState]) -> None:
        """Store what has changed in these rows; raises Conflict when somebody else wrote a document meanwhile.

        It may be called again after Unavailable: what this writer had stored already counts as stored.
        """
        changed = [row for row in rows if row.changed]
        refresh(self._block, changed)
        values = [state_values(row.state) for row in changed]
        fields = [_changed_fields(row, mine) for row, mine in zip(changed, values, strict=True)]
        for row in rows:
            if row.unrecorded:
                _record_scores(row)
        months = [(row, month) for row in rows for month in row.cells.values() if month.changed]
        scored = [(row, month) for row, month in months if month.scores_alone and row.stored_rev]  # new: state first
        await self._write([self._month(row, month) for row, month in scored])
        await self._write([self._head(row, new) for row, new in zip(changed, fields, strict=True)])
        carried = {id(month) for _, month in scored}
        months = [(row, month) for row, month in months if id(month) not in carried]
        chunks = _chunks(rows)
        await asyncio.gather(
            self._write([self._month(row, month) for row, month in months]),
            self._write([self._chunk(row, chunk) for row, chunk in chunks]),
        )
        await self._timeline(rows)  # last: what a correction takes back from the counters is read off the old entry
        states = list(partitions)
        await self._write([self._state(state) for state in states])
        for row, mine in zip(changed, values, strict=True):
            row.stored = mine
        self._settle(changed, [*scored, *months], chunks, rows)

    def _settle(
        self,
        changed: Sequence[Row],
        months: Sequence[tuple[Row, MonthCells]],
        chunks: Sequence[tuple[Row, IdChunk]],
        rows: Sequence[Row],
    ) -> None:
        for row in changed:
            row.stored_rev += 1
            row.changed = False
        written = {id(month) for _, month in months}
        for _, month in months:
            month.stored()
        for _, chunk in chunks:
            chunk.rev += 1
            chunk.new = {}
        for row in rows:
            row.pending = {}
            row.chunks = row.chunks[-1:]
            row.days = {}
            for month in row.cells.values():
                if id(month) not in written:
                    month.pack()
            self._block.weigh(row)

    async def _write(self, writes: list[Write]) -> None:
        if not writes:
            return
        lost = await self._store.write(writes)
        if lost:
            raise Conflict(
                f"{len(lost)} documents were changed by another worker, {lost[0]} among them: it owns this partition"
                " now, or has until just now. Starting again from the committed offset."
            )

    def _fenced(self, fence: Fence, fields: dict[str, Any]) -> Plain:
        return Plain(
            fields,
            incarnation=fence.incarnation,
            partition=fence.partition,
            position=fence.position,
            writer=self._writer,
        )

    def _head(self, row: Row, fields: dict[str, Any]) -> Write:
        stored = {name: _PLAIN[name](value) if name in _PLAIN else plain(value) for name, value in fields.items()}
        return Write("relationships", row.state.id, row.stored_rev, self._fenced(_fence(row.state), stored))

    def _month(self, row: Row, month: MonthCells) -> Write:
        id = month_id(row.state.tenant, row.state.relationship, month.month)
        names = {} if month.rev else {**_names(row.state), "month": month.month}
        return Write("months", id, month.rev, self._fenced(month.fence, names | month.fields()))

    def _chunk(self, row: Row, chunk: IdChunk) -> Write:
        names = {} if chunk.rev else _names(row.state)
        id = f"{row.state.id}/{chunk.number}"
        return Write("dedup", id, chunk.rev, self._fenced(chunk.fence, names | chunk.fields()))

    def _state(self, state: PartitionState) -> Write:
        fields = {"clock": state.clock, "unpublished": list(state.unpublished), "published_into": state.published_into}
        return Write("partitions", state.id, state.rev, self._fenced(_fence(state), fields))

    async def _timeline(self, rows: Sequence[Row]) -> None:
        entries = [entry for row in rows for entry in row.pending.values()]
        new = [entry for entry in entries if not entry.rev]
        if new:
            await self._store.add_touchpoints(
                [msgspec.structs.replace(entry, rev=1, writer=self._writer) for entry in new]
            )
        await self._write([self._entry(entry) for entry in entries if entry.rev])

    def _entry(self, entry: Touchpoint) -> Write:
        fields = {name: plain(getattr(entry, name)) for name in _TOUCHPOINT_FIELDS}
        return Write("timeline", entry.id, entry.rev, self._fenced(_fence(entry), fields))


_FENCE = len(Fenced.__struct_fields__)
_HEAD_FIELDS = RelationshipState.__struct_fields__[_FENCE:]
_TOUCHPOINT_FIELDS = Touchpoint.__struct_fields__[_FENCE:]


def _names(state: RelationshipState) -> dict[str, Any]:
    return {"tenant": state.tenant, "relationship": state.relationship}


def _chunks(rows: Sequence[Row]) -> list[tuple[Row, IdChunk]]:
    """The chunks that hold event ids that are not stored yet."""
    unsaved = [row for row in rows if row.new_ids]
    chunk_all([Unsaved(row.chunks, row.new_ids, row.ids_log) for row in unsaved])
    for row in unsaved:
        row.new_ids = []
    return [(row, chunk) for row in rows for chunk in row.chunks if chunk.new]


def _facts(facts: Facts) -> dict[str, Any]:
    """Facts as they are stored: of what is in them, only the keys of maps can need to be written otherwise."""
    stored: dict[str, Any] = msgspec.to_builtins(facts)
    if "inbound_days" in stored:
        stored["inbound_days"] = list(stored["inbound_days"])
    for name in _FACT_MAPS:
        if name in stored:
            stored[name] = {escape_key(key): value for key, value in stored[name].items()}
    return stored


def _fence(document: Fenced) -> Fence:
    return Fence(document.incarnation, document.partition, document.position)


def state_values(state: RelationshipState) -> tuple[Any, ...]:
    """Everything a state document holds beside its id, fence and revision; the values are never changed in place."""
    return msgspec.structs.astuple(state)[_FENCE:]


def _changed_fields(row: Row, values: tuple[Any, ...]) -> dict[str, Any]:
    """The state's fields that differ from what is stored; all of them where nothing is."""
    if not row.stored:
        return dict(zip(_HEAD_FIELDS, values, strict=True))
    known = zip(_HEAD_FIELDS, values, row.stored, strict=True)
    return {name: value for name, value, before in known if value is not before and value != before}


def _record_scores(row: Row) -> None:
    """A worker was stopped when it had stored a state with recorded scores, and not its months."""
    for day, scores in list(row.unrecorded.items()):
        row.record_scores(day, scores)


_FACT_MAPS = ("promises", "settled", "tickets", "surveys", "people")

_PLAIN: dict[str, Callable[[Any], Any]] = {
    "facts": _facts,
    "windows": lambda windows: {name: list(counts) for name, counts in msgspec.structs.asdict(windows).items()},
    "scores": msgspec.to_builtins,
    "spark": list,
    "numbers": list,
}
"""Fields of a state that change often, in which there is no number that could not be stored."""
