"""From records to what the engine takes: runs of events and clock records; what cannot be applied, with its reason."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared import wire
from shared.domain.columns.id_chunks import Hashes, Ints
from shared.domain.columns.id_table import Bools
from shared.domain.contract.events import DAY, MAX_QUANTITY, MAX_TIME, Clock, Interaction, Millis, relationship_key
from shared.domain.contract.payload import checked_data
from shared.domain.contract.uses import PLAIN_USE, UseColumns
from shared.domain.engine.run import Item, Run, Span, usage_entry
from shared.domain.errors import Poison
from shared.domain.relationship.fence import EVENTS_A_RECORD, position_of
from shared.stream.frames import CLOCK, EVENTS, Frame, interaction, kind_of, read_frame, use_at, use_ids
from shared.stream.ports import Record
from shared.stream.topics import partition_of

RUN_EVENTS = 3_000  # folded at once: what more of them touch does not fit into a processor's cache
ONE_EACH = np.ones(1, "<f8").tobytes()


class Events(msgspec.Struct, frozen=True):
    """A record that holds a frame of events, and the keys of its relationships."""

    record: Record
    frame: Frame
    keys: list[str]

    @property
    def offset(self) -> int:
        """Where the record lies."""
        return self.record.offset

    def __len__(self) -> int:
        return len(self.frame)


class Tick(msgspec.Struct, frozen=True):
    """A clock record at its place in the log."""

    offset: int
    now: Millis

    @property
    def position(self) -> int:
        """Its position in the partition."""
        return position_of(self.offset)

    def __len__(self) -> int:
        return 1


class Bad(msgspec.Struct, frozen=True):
    """What can never be applied: a whole record, or the event at a place of one, with its tenant as far as known."""

    offset: int
    tenant: str
    original: bytes | None
    poison: Poison
    place: int | None = None

    def __len__(self) -> int:
        return 1


Read = Events | Tick | Bad
"""What a record has turned out to be; its length is how many events it counts for."""


def read(record: Record) -> Read:
    """What is in a record. Only ingest and scoring write here; whatever else got in must not end the worker again and
    again. Raises Misconfigured for a record of a newer version."""
    try:
        kind = kind_of(record)
        if kind == CLOCK:
            return _tick(record)
        if kind == EVENTS:
            return _events(record)
        raise Poison("undecodable", "The record has no header that says what it is: only ingest may write here.")
    except Poison as poison:
        return Bad(record.offset, "", record.value, poison)


def _tick(record: Record) -> Tick:
    now = wire.decode(record.value, Clock).now
    _refuse_impossible_receipt(record)
    if not 0 <= now <= min(record.timestamp + DAY, MAX_TIME):
        raise Poison("invalid_time", "A clock record's `now` must be from 0 to a day after the record's timestamp.")
    return Tick(record.offset, now)


def _events(record: Record) -> Events:
    _refuse_impossible_receipt(record)
    frame = read_frame(record.value)
    if not frame.tenant or "/" in frame.tenant:
        raise Poison("no_relationship", "Events need a tenant (without a slash).")
    return Events(record, frame, [relationship_key(frame.tenant, name) for name in frame.resolved])


def _refuse_impossible_receipt(record: Record) -> None:
    if not 0 < record.timestamp <= MAX_TIME:
        raise Poison(
            "invalid_time",
            f"The record's timestamp {record.timestamp} is no moment of receipt: leave it to the producer, or set it in"
            " milliseconds since 1970.",
        )


Segment = Run | Tick | Bad


def segments(found: Sequence[Read], partition: int, partitions: int) -> Iterator[Segment]:
    """Runs of events and what is bad, with clock records between them, in the order of the log.

    Between two clock records, the events of one relationship follow one another, and a run is made when it is asked
    for: what is folded, and what that touches, is then in the processor's cache, which more than halves the time it
    takes. `partition` is where all of it lies, out of `partitions`.
    """
    together: list[Events] = []
    bad: list[Bad] = []
    for one in found:
        if isinstance(one, Events):
            together.append(one)
        elif isinstance(one, Bad):
            bad.append(one)
        else:
            yield from _between(together, bad, partition, partitions)
            yield one
            together, bad = [], []
    yield from _between(together, bad, partition, partitions)


def _between(together: Sequence[Events], bad: Sequence[Bad], partition: int, partitions: int) -> Iterator[Segment]:
    if together:
        yield from _Frames(together, partition, partitions).segments()
    yield from bad


class _Columns(NamedTuple):
    """Events of several frames, a line each. Relationships, features and persons are numbered across the frames."""

    relationship: Ints
    frame: Ints
    position: Ints
    received: Ints
    time: Ints
    feature: Ints
    person: Ints
    quantity: NDArray[np.float64]
    hash: Hashes
    plain: Bools  # a plain use that is no history

    def take(self, lines: Ints | Bools) -> _Columns:
        """Some of the lines."""
        return _Columns(*(column[lines] for column in self))  # type: ignore[arg-type]


class _Frames:
    """Frames that follow one another in a partition, as runs."""

    def __init__(self, found: Sequence[Events], partition: int, partitions: int) -> None:
        self._found = found
        self._others = [{other.place: other for other in one.frame.others} for one in found]
        self._others_at = [list(others) for others in self._others]
        self._use_ids: dict[int, list[str]] = {}  # of frames with uses that are looked at, by number
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        frame = np.repeat(np.arange(len(found)), lengths)
        first = np.fromiter((position_of(one.offset) for one in found), np.int64, len(found))
        place = np.arange(len(frame)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        relationship, self._keys = self._numbered("subject", lambda one: one.keys)
        feature, self._features = self._numbered("feature", lambda one: one.frame.features)
        person, self._persons = self._numbered("person", lambda one: one.frame.persons)
        columns = _Columns(
            relationship,
            frame,
            first[frame] + place,
            np.fromiter((one.record.timestamp for one in found), np.int64, len(found))[frame],
            np.frombuffer(self._bytes("time"), "<i8"),
            feature,
            person,
            np.frombuffer(b"".join([one.frame.quantity or ONE_EACH * len(one) for one in found]), "<f8"),
            np.frombuffer(self._bytes("id"), "<u8"),
            self._plain(frame) & (feature != self._number_of(self._features, "")),
        )
        self._wrong = _wrong(self._keys, partition, partitions)
        self._columns = columns.take(np.argsort(columns.relationship, kind="stable"))

    def segments(self) -> Iterator[Run | Bad]:
        """Runs, and what is bad."""
        columns, bad = self._columns, np.zeros(len(self._columns.relationship), np.bool_)
        if self._wrong:
            bad |= np.isin(columns.relationship, list(self._wrong))
        bad |= (columns.time < 0) | (columns.time > MAX_TIME)
        bad |= ~((columns.quantity >= 0) & (columns.quantity <= MAX_QUANTITY))
        if bad.any():
            for line in np.flatnonzero(bad).tolist():
                yield self._bad(line, self._why(line))
            self._columns = columns = columns.take(~bad)
        for start in range(0, len(columns.relationship), RUN_EVENTS):
            yield from self._run(start, min(start + RUN_EVENTS, len(columns.relationship)))

    def _run(self, start: int, end: int) -> Iterator[Run | Bad]:
        """The events from one line to before another, less what is bad."""
        lines = np.arange(start, end)
        items: dict[int, Item] = {}
        for line in (start + np.flatnonzero(~self._columns.plain[start:end])).tolist():
            try:
                items[line] = self._item(line)
            except Poison as poison:
                yield self._bad(line, poison)
                lines = lines[lines != line]
        if not len(lines):
            return
        columns = self._columns.take(lines)
        cuts = [0, *(1 + np.flatnonzero(np.diff(columns.relationship))).tolist(), len(lines)]
        of = columns.relationship[cuts[:-1]].tolist()
        place = dict(zip(lines.tolist(), range(len(lines)), strict=True)) if items else {}
        yield Run(
            spans=[Span(self._keys[number], *pair) for number, pair in zip(of, pairwise(cuts), strict=True)],
            hashes=columns.hash.tolist(),
            positions=columns.position.tolist(),
            received=columns.received.tolist(),
            uses=UseColumns(
                columns.time.tolist(),
                [self._features[number] for number in columns.feature.tolist()],
                [self._persons[number] for number in columns.person.tolist()],
                columns.quantity.tolist(),
            ),
            items={place[line]: item for line, item in items.items()},
        )

    def _item(self, line: int) -> Item:
        """An event that is no plain use, held to the contract once more. Raises Poison."""
        event, received = self._interaction(line), int(self._columns.received[line])
        data = wire.decode(checked_data(event.type, event.data, max(received, event.time)), dict)
        return Item(int(self._columns.position[line]), received, event, data, usage_entry(event, data))

    def _interaction(self, line: int) -> Interaction:
        number, place = int(self._columns.frame[line]), int(self._columns.position[line]) % EVENTS_A_RECORD
        frame, other = self._found[number].frame, self._others[number].get(place)
        if other is not None:
            return interaction(frame, other)
        if number not in self._use_ids:
            self._use_ids[number] = use_ids(frame)
        before = bisect_left(self._others_at[number], place)
        return use_at(frame, place, next(iter(self._use_ids[number][place - before : place - before + 1]), ""))

    def _bad(self, line: int, why: Poison) -> Bad:
        event, found = self._interaction(line), self._found[int(self._columns.frame[line])]
        place = int(self._columns.position[line]) % EVENTS_A_RECORD
        return Bad(found.offset, event.tenant, wire.encode(event), why, place)

    def _why(self, line: int) -> Poison:
        columns = self._columns
        if (poison := self._wrong.get(int(columns.relationship[line]))) is not None:
            return poison
        if not 0 <= columns.time[line] <= MAX_TIME:
            return Poison("invalid_time", f"An interaction's time must be from 0 to {MAX_TIME} ms.")
        return Poison("invalid_field", f"A quantity must be from 0 to {MAX_QUANTITY}.")

    def _number_of(self, strings: Sequence[str], string: str) -> int:
        return strings.index(string) if string in strings else -1

    def _plain(self, frame: Ints) -> Bools:
        """Which events are plain uses, and no history."""
        starts = [0, *accumulate(len(one.frame.kinds) for one in self._found)]
        kinds = [kind for one in self._found for kind in one.frame.kinds]
        uses = np.array([kind.type in PLAIN_USE and not kind.backfill for kind in kinds], np.bool_)
        plain: Bools = uses[np.frombuffer(self._bytes("kind"), "<u2") + np.array(starts)[frame]]
        for number, others in enumerate(self._others):
            if others:
                first = int(np.searchsorted(frame, number))
                plain[[first + at for at in others]] = False
        return plain

    def _bytes(self, name: str) -> bytes:
        """A column of all frames."""
        return b"".join([getattr(one.frame, name) for one in self._found])

    def _numbered(self, name: str, strings: Callable[[Events], list[str]]) -> tuple[Ints, list[str]]:
        """A column of strings as numbers that go through all frames, and the strings by these."""
        numbers: dict[str, int] = {}
        lists = [strings(one) for one in self._found]
        known = np.array([numbers.setdefault(string, len(numbers)) for some in lists for string in some])
        starts = np.array([0, *accumulate(map(len, lists))])[:-1]
        at = np.frombuffer(self._bytes(name), "<u2") + np.repeat(starts, [len(one) for one in self._found])
        return known[at], list(numbers)


def _wrong(keys: Sequence[str], partition: int, partitions: int) -> dict[int, Poison]:
    """The relationships (by number) that are none, or none of this partition."""
    found = {}
    for number, key in enumerate(keys):
        if key.index("/") == len(key) - 1:  # of the tenant alone; a name may end so
            found[number] = Poison("no_relationship", "An interaction needs a relationship.")
        elif partition_of(key.encode(), partitions) != partition:
            found[number] = Poison(
                "wrong_partition", f"This relationship belongs to partition {partition_of(key.encode(), partitions)}."
            )
    return found
