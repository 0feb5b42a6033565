"""What scoring holds of its partitions between two flushes, and of the flush under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from services.scoring.decode import Read, Tick
from shared.domain.columns.row import Row
from shared.domain.contract.events import HOUR, Millis
from shared.storage.store import NEVER_DUE, Due, PartitionState
from shared.stream.ports import Record

ROW_DOCUMENTS = 3  # state, month and event ids: what storing a relationship costs, beside its timeline entries
LATE = HOUR  # what is read next was received at most so long before what has been read of all partitions, and by now
MORE_ROWS = 1_000  # may be touched while a flush is under way, beside as many as that has stored


class PartitionProgress(msgspec.Struct):
    """A partition of ours: its state, the next offset to read, where the last flush ended, and what was touched."""

    state: PartitionState
    next: int = -1
    end: int = -1  # the end of its log, as of the last fetch
    waiting: list[Read] = msgspec.field(default_factory=list)  # fetched, and to be folded together with what follows
    waiting_events: int = 0  # in what waits
    folded: int = -1  # every record before it has been folded
    stored: int = -1  # everything before it has been stored
    flushed: int = -1  # and told
    clocked_at: Millis = 0  # when we last appended a clock record
    over: Tick | None = None  # the last clock record that is over, if its work may not have been stored yet
    ticks: list[Tick] = msgspec.field(default_factory=list)  # clock records that have been read and are not over
    due_seen: Due = NEVER_DUE  # what the store has said to be due, up to this one
    due_over: bool = False  # the store has nothing more that is due
    due_found: list[str] = msgspec.field(default_factory=list)  # that are due, and were not in memory
    moved: bool = False  # the state differs from what is stored
    touched: dict[str, Row] = msgspec.field(default_factory=dict)  # to be stored and told
    received: Millis = 0  # receipt of the newest event since the last flush began
    waiting_since: Millis = 0  # receipt of the oldest of them
    reached: Millis = 0  # receipt of the event that was folded last, about

    @property
    def caught_up(self) -> bool:
        """No backlog is being worked off."""
        return self.next >= self.end

    @property
    def idle(self) -> bool:
        """Everything there is in its log has been folded."""
        return self.caught_up and not self.waiting

    @property
    def reaches(self) -> int:
        """The next offset to read if nothing of what waits were kept: -1 if nothing was read."""
        waiting = self.waiting[0].offset if self.waiting else self.next
        return min(waiting, self.ticks[0].offset) if self.ticks else waiting

    def wait_for(self, found: Iterable[Read]) -> int:
        """Let what was fetched wait to be folded; how many events that is."""
        fetched = list(found)
        events = sum(map(len, fetched))
        self.waiting += fetched
        self.waiting_events += events
        return events

    def take_waiting(self, count: int) -> list[Read]:
        """The first so many of what waits, which wait no longer."""
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.waiting_events -= sum(map(len, taken))
        return taken

    def look_up_anew(self) -> None:
        """Ask the store again for what is due, from the beginning."""
        self.due_seen, self.due_found, self.due_over = NEVER_DUE, [], False

    @property
    def clock(self) -> Millis:
        """`now` of the latest clock record that has been read and said something new."""
        latest = self.ticks[-1] if self.ticks else self.over
        return self.state.clock if latest is None else latest.now

    def move_clock(self, incarnation: str, number: int, over: Tick) -> None:
        """Whatever a clock record has led to is stored: read again, it would be passed over."""
        state = self.state
        state.clock, state.incarnation, state.partition, state.position = over.now, incarnation, number, over.position
        self.moved = True
        if self.over is over:
            self.over = None

    def note_folded(self, next: int) -> None:
        """Every record before `next` has been folded, and clock records are over, but for those that are not."""
        self.folded = min(next, self.ticks[0].offset) if self.ticks else next

    def note_stored(self) -> None:
        """Something was stored: perhaps all that was folded is by now."""
        if self.folded > self.stored and not any(row.unsaved for row in self.touched.values()):
            self.stored = self.folded

    def note_published(self, ids: Collection[str]) -> None:
        """Whatever clock records have changed of these relationships, before us or since, is stored and published."""
        left = tuple(id for id in self.state.unpublished if id not in ids)
        if len(left) < len(self.state.unpublished):
            self.state.unpublished = left
            self.moved = True


class FlushCheckpoint(msgspec.Struct, frozen=True):
    """How far a partition had got when a flush began: this far it is stored and told when the flush is over."""

    next: int
    received: Millis
    waiting_since: Millis
    over: Tick | None  # the clock record that was over then
    reached: Millis  # nothing that is not stored was received before; 0 if that is not known


class Flush:
    """A flush under way. Rows that are stored before their turn, whoever did it, are not stored again."""

    def __init__(self, owned: Mapping[int, PartitionProgress], now: Millis) -> None:
        self.checkpoints = {number: _checkpoint(one, now) for number, one in owned.items()}
        self._rest = [(number, id) for number, one in owned.items() for id in one.touched]
        self._rest.reverse()
        self._most = len(self._rest) + MORE_ROWS

    def has_room(self, owned: Mapping[int, PartitionProgress]) -> bool:
        """Whether more may be folded meanwhile: else every flush would have more to store than the one before."""
        return sum(len(one.touched) for one in owned.values()) < self._most

    def slice(self, owned: Mapping[int, PartitionProgress], documents: int) -> dict[int, list[Row]]:
        """The next rows to store, by partition: about so many documents, at least one row as long as there are any."""
        rows: dict[int, list[Row]] = {}
        while self._rest and documents > 0:
            number, id = self._rest.pop()
            row = owned[number].touched.get(id)
            if row is not None:
                rows.setdefault(number, []).append(row)
                documents -= documents_of([row])
        return rows

    @property
    def over(self) -> bool:
        return not self._rest


def documents_of(rows: Iterable[Row]) -> int:
    """About how many documents are to be written for these rows."""
    return sum(ROW_DOCUMENTS + len(row.pending) for row in rows)


def entries_of(owned: Iterable[PartitionProgress]) -> int:
    """Timeline entries of these partitions that are not stored yet."""
    return sum(entries_in(one.touched.values()) for one in owned)


def entries_in(rows: Iterable[Row]) -> int:
    """Timeline entries of these rows that are not stored yet."""
    return sum([len(row.pending) for row in rows])


def records_from(records: Sequence[Record], begins: int) -> Sequence[Record]:
    """Those that belong to the present incarnation. Others come again only if the group's offsets were lost."""
    return records if records[0].offset >= begins else [record for record in records if record.offset >= begins]


def _checkpoint(owned: PartitionProgress, now: Millis) -> FlushCheckpoint:
    reached = now if owned.idle else owned.reached
    if owned.ticks:  # it may be read again from there
        reached = min(reached, owned.ticks[0].now)
    checkpoint = FlushCheckpoint(owned.reaches, owned.received, owned.waiting_since, owned.over, reached)
    owned.received = owned.waiting_since = 0
    return checkpoint
