"""Event ids that have counted: one open-addressed table for all relationships of a block, 12 bytes a slot.

A duplicate is an id that its relationship has seen at a smaller position, at most `window` days of receipt ago (UTC
days: an id counts once until the end of the last day of the window). The same id at the same position is a redelivery
of the same record. Two ids of one relationship are taken for one if their 64-bit hashes are equal: for a new event,
with n resident ids of its relationship, with probability n/2⁶⁴, which is below 10⁻⁹ up to 18 billion ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shared.domain.columns.id_chunks import CHUNKS_A_DAY, Hashes, Ints
from shared.domain.columns.id_table import OWNER_BITS, Bools, IdTable, Tags

_TAGS = 1 << 20  # relationships that a table can tell apart
_FULL = 0.9  # share of slots in use above which the table is made anew
_SPACIOUS, _TIGHT = 0.45, 0.76  # share in use after that: of a small table, and of one from LARGE ids on (16 B an id)
_LARGE = 1 << 21
_MOVED = 4_096  # buckets that go over at once from a table that was full into one made anew
MANY_LEFT = 1_000  # relationships: for fewer the table is not made anew before it is full


class Stored(NamedTuple):
    """Ids of a relationship out of a chunk: the relationship's tag, the chunk's number, each id's hash and position.

    `again`: the partition and the position from which on its records may be delivered again; None if they cannot.
    """

    tag: int
    number: int
    hashes: Hashes
    positions: Ints
    again: tuple[int, int] | None


class SeenIds:
    """The ids of all relationships of a block, each under the tag of its relationship."""

    def __init__(self, window: int, capacity: int = 1024) -> None:
        """`window`: days of receipt within which an id counts once; `capacity`: ids to make room for."""
        self._window = window
        self._next_tag = 0
        self._free_tags: list[int] = []
        self._left: set[int] = set()  # tags whose ids are still in the table
        self._ahead: dict[tuple[int, int, int], int] = {}  # (tag, hash, position) → partition: may be delivered again
        self._today: int | None = None
        self._table = IdTable(capacity)
        self._older: IdTable | None = None  # one that was full, and goes over into the other bit by bit
        self._moved = 0  # buckets of it that have
        self._room = 0  # ids that the table was made for
        self._leaving: Bools = np.zeros(0, np.bool_)  # by tag: ids that do not go over

    @property
    def resident(self) -> int:
        """How many ids are in memory (those in both tables count twice)."""
        return self._table.used + (self._older.used if self._older else 0)

    @property
    def nbytes(self) -> int:
        """The memory they take; of a table that goes over into another, what has not yet."""
        left = len(self._older) - self._moved if self._older else 0
        return self._table.nbytes + (self._older.nbytes * left // len(self._older) if self._older else 0)

    def enter(self) -> int:
        """The tag of one more relationship."""
        if not self._free_tags and self._next_tag == _TAGS:
            self._make_anew(0)
            self._finish()
        if self._free_tags:
            return self._free_tags.pop()
        if self._next_tag == _TAGS:
            raise MemoryError(f"more than {_TAGS:,} relationships at once: lower RAPPORT_MEMORY_MB, run more workers")
        self._next_tag += 1
        return self._next_tag - 1

    def leave(self, tag: int) -> None:
        """The relationship is let go of; its ids make room when the table is next made anew."""
        self._left.add(tag)

    def compact(self) -> None:
        """Give back what the ids of relationships take that were let go of, if that may be most of them."""
        if self._older:
            self._move()
            self._shrink(0)
        elif len(self._left) > max(MANY_LEFT, self._next_tag - len(self._free_tags) - len(self._left)):
            self._make_anew(0)

    def load(self, stored: Sequence[Stored]) -> None:
        """Take stored ids in; what a relationship has more than once counts as of the last one."""
        if not stored:
            return
        lengths = [len(one.hashes) for one in stored]
        hashes = np.concatenate([one.hashes for one in stored])
        tags = np.repeat(np.fromiter((one.tag for one in stored), np.uint32, len(stored)), lengths)
        days = np.repeat(np.fromiter((one.number // CHUNKS_A_DAY for one in stored), np.int64, len(stored)), lengths)
        order = np.lexsort((hashes, tags))  # keeps the order of those that are the same
        last = np.ones(len(order), np.bool_)
        last[:-1] = (hashes[order[1:]] != hashes[order[:-1]]) | (tags[order[1:]] != tags[order[:-1]])
        kept = order[last]
        self._enter(hashes[kept], tags[kept], days[kept])
        for one in stored:
            if one.again is not None:
                for at in np.flatnonzero(one.positions >= one.again[1]).tolist():
                    self._ahead[one.tag, int(one.hashes[at]), int(one.positions[at])] = one.again[0]

    def admit(self, hashes: Hashes, tags: Tags, days: Ints, positions: Sequence[int]) -> tuple[Bools, Bools]:
        """For events in the order of the log: which of them count, and which of these were never seen before.

        Those are remembered. The others that count are deliveries of what was seen at the same place.
        """
        slots = self._table.find(hashes, tags)
        known, owners = slots >= 0, self._table.owners.flat[slots]
        if self._older:
            rest = np.flatnonzero(~known)
            there = self._older.find(hashes[rest], tags[rest])
            known[rest], owners[rest] = there >= 0, self._older.owners.flat[there]
        if known.any():
            known &= ~self._expired(days, owners)
        counts = ~known
        if self._ahead:
            self._deliveries(known, counts, hashes, tags, positions)
        new = ~known
        enter = self._within(new, counts, hashes, tags, days)
        self._enter(hashes[enter], tags[enter], days[enter], slots[enter])
        return counts, new

    def passed(self, positions: Mapping[int, int]) -> None:
        """Records before these positions, by partition, will not be delivered again."""
        if self._ahead:
            self._ahead = {
                key: partition
                for key, partition in self._ahead.items()
                if key[2] >= positions.get(partition, key[2] + 1)
            }

    def expire(self, today: int) -> None:
        """Nothing is read that was received before this day: what is older than the window can go."""
        self._today = today

    # --- duplicates within a batch, and deliveries again

    def _deliveries(self, known: Bools, counts: Bools, hashes: Hashes, tags: Tags, positions: Sequence[int]) -> None:
        for at, key in enumerate(zip(tags.tolist(), hashes.tolist(), positions, strict=True)):
            if key in self._ahead:
                known[at] = counts[at] = True

    def _within(self, new: Bools, counts: Bools, hashes: Hashes, tags: Tags, days: Ints) -> Bools:
        """Of ids that come more than once in a batch, only the first counts, within the window; which to remember."""
        enter = new.copy()
        ordered = np.sort(hashes[new])
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(again):
            return enter
        last: dict[tuple[int, int], int] = {}
        for at in np.flatnonzero(new & np.isin(hashes, again)).tolist():
            key = (int(tags[at]), int(hashes[at]))
            before = last.get(key)
            if before is not None and days[at] - days[before] <= self._window:
                new[at] = counts[at] = enter[at] = False
                continue
            if before is not None:
                enter[before] = False
            last[key] = at
        return enter

    def _expired(self, days: Ints | np.int64, owners: Tags) -> Bools:
        """Whether ids of these owners no longer count as seen on these days (an id may have come on a later one)."""
        age = (days - (owners & _DAY_MASK).astype(np.int64)) % (1 << OWNER_BITS)
        return (age > self._window) & (age < 1 << (OWNER_BITS - 1))

    # --- the table, and the one before it

    def _enter(self, hashes: Hashes, tags: Tags, days: Ints, slots: Ints | None = None) -> None:
        """Write these ids; no two are the same. `slots`: where they are in the table, -1 where not, if known."""
        if not len(hashes):
            return
        if self._older:
            self._move(len(hashes))
            self._shrink(len(hashes))
            slots = None
        if self.resident + len(hashes) > _FULL * self._table.size:  # what is left of an older table comes, too
            self._make_anew(len(hashes))
            slots = None
        if slots is None:
            slots = self._table.find(hashes, tags)
        owners = tags.astype(np.uint32) << np.uint32(OWNER_BITS) | (days & _DAY_MASK).astype(np.uint32)
        known = slots >= 0
        self._table.owners.flat[slots[known]] = owners[known]
        self._table.place(hashes[~known], owners[~known])

    def _make_anew(self, more: int) -> None:
        """A table with room for all ids and `more`, into which go those that count and whose relationship stays.

        What lies in _MOVED buckets goes at once, all else bit by bit, so that nobody waits; until then ids are in both.
        """
        self._finish()
        self._leaving = np.zeros(self._next_tag, np.bool_)
        self._leaving[list(self._left)] = True
        self._older, self._moved = self._table, 0
        self._room = ids = self._older.used + more
        self._table = IdTable(1 + int(ids / (_SPACIOUS if ids < _LARGE else _TIGHT)))
        self._move()
        self._shrink(more)

    def _shrink(self, more: int) -> None:
        """Make it anew once more if most ids did not go over into it."""
        if not self._older and 2 * (self._table.used + more) < self._room:
            self._make_anew(more)

    def _stays(self, owners: Tags) -> Bools:
        gone: Bools = self._leaving[owners >> np.uint32(OWNER_BITS)]
        if self._today is not None:
            gone |= self._expired(np.int64(self._today), owners)
        return ~gone

    def _finish(self) -> None:
        if self._older:
            self._move(len(self._older))

    def _move(self, at_least: int = 0) -> None:
        """Let so many buckets of the older table go over into the other."""
        assert self._older is not None
        start, end = self._moved, self._moved + max(at_least, _MOVED)
        hashes, owners = self._older.take(start, end)
        stays = self._stays(owners)
        hashes, owners = hashes[stays], owners[stays]
        unknown = self._table.find(hashes, owners >> np.uint32(OWNER_BITS)) < 0  # else it has come again meanwhile
        self._table.place(hashes[unknown], owners[unknown])
        self._moved = end
        if end < len(self._older):
            return
        self._older = None
        left = set(np.flatnonzero(self._leaving).tolist())
        self._free_tags += left
        self._left -= left


_DAY_MASK = (1 << OWNER_BITS) - 1  # days are kept modulo 4096: eleven years
