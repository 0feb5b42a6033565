"""The engine: folds a partition's records into a block, and evaluates what falls due on the way.

A verdict depends on the log alone, never on how its records were batched: an event that reaches a relationship at or
past its due moment waits until the relationship has been evaluated as of that moment. Events of many relationships
that wait are evaluated together, in waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

import shared.domain.contact_rules
import shared.domain.usage_rules  # noqa: F401  (enters its rules into the table)
from shared.domain.block import Block, Entry, Row
from shared.domain.corrections import correct
from shared.domain.dedup import Bools, Seen, id_hash
from shared.domain.directory import updated
from shared.domain.evaluation import evaluate, judge, next_boundary
from shared.domain.events import (
    DAY,
    HOUR,
    SECOND,
    EventClass,
    Interaction,
    JsonObject,
    Millis,
    Use,
    event_key,
    event_type,
    relationship_key,
)
from shared.domain.fence import Fence
from shared.domain.fold import fold_touchpoint
from shared.domain.playbooks import Playbook
from shared.domain.relationship import Head
from shared.domain.touchpoints import Touchpoint, made_of, touchpoint_id
from shared.domain.usage import USE, day_number, day_of
from shared.domain.uses import Uses

SETTLE = 5 * SECOND  # loaded history is evaluated when nothing more has come for this long


class Terms(msgspec.Struct, frozen=True):
    """What the engine goes by: the playbook, the canonical grain and the days within which an id counts once."""

    playbook: Playbook
    grain: Millis = HOUR
    dedup_days: int = 7


class Item(msgspec.Struct, frozen=True, gc=False):
    """One decoded event: where it lies in the log, when it was received, and its `data` (usage: as an entry)."""

    offset: int
    received: Millis
    event: Interaction
    data: JsonObject
    usage: Entry | None = None


class Span(NamedTuple):
    """Events of one relationship that follow one another in a run: `tenant/relationship`, the first and the end."""

    id: str
    start: int
    end: int


class Run(msgspec.Struct):
    """Events of one partition as columns, plain uses as they are, all others as items.

    Those of each relationship are in the order of the log, and follow one another in one span, or in several.
    """

    events: list[Use | Item] = []
    hashes: list[int] = []  # of the events' ids
    offsets: list[int] = []
    received: list[Millis] = []
    spans: list[Span] = []
    others: list[int] = []  # where the items are

    def __len__(self) -> int:
        return len(self.events)

    @classmethod
    def of(cls, items: Sequence[Item]) -> Run:
        """These items as a run."""
        run = cls()
        for item in items:
            event = item.event
            run.add(item, id_hash(event.source, event.id), item.offset, item.received)
            run.close(relationship_key(event.tenant, event.relationship), len(run) - 1)
        return run

    def add(self, event: Use | Item, hash: int, offset: int, received: Millis) -> None:
        """Append an event."""
        if event.__class__ is Item:
            self.others.append(len(self.events))
        self.events.append(event)
        self.hashes.append(hash)
        self.offsets.append(offset)
        self.received.append(received)

    def close(self, id: str, start: int) -> None:
        """What has been appended from `start` on is of this relationship."""
        if start < len(self.events):
            self.spans.append(Span(id, start, len(self.events)))

    def items(self) -> list[Item]:
        """All that are not plain uses."""
        return [self.item(at) for at in self.others]

    def item(self, at: int) -> Item:
        """The event there as an item."""
        event = self.events[at]
        if isinstance(event, Item):
            return event
        entry = Entry(USE + event.feature, event.data.person, day_of(event.time), event.data.quantity)
        whole = Interaction(event.tenant, event.relationship, event.id, event.source, event.type, event.time)
        return Item(self.offsets[at], self.received[at], whole, {}, entry)


class Known(msgspec.Struct):
    """What was read from the store for a run: timeline entries that exist, and whole timelines for corrections."""

    touchpoints: dict[str, Touchpoint]
    timelines: dict[str, list[Touchpoint]]


class Step(msgspec.Struct):
    """What came of a run: rows it touched (to store, or to tell of again), and how many duplicates it dropped."""

    touched: dict[str, Row]
    duplicates: int = 0


def usage_entry(event: Interaction, data: JsonObject) -> Entry | None:
    """What a usage event counts; None for other types."""
    if event_type(event.type).kind is not EventClass.USAGE:
        return None
    feature = str(data.get("feature") or event.type.split(".")[1])
    day = day_number(data["day"]) if event.type == "usage.daily_total" else day_of(event.time)
    return Entry(USE + feature, str(data.get("person", "")), day, float(data.get("quantity", 1)))


def step_many(block: Block, run: Run, known: Known, terms: Terms, incarnation: str, partition: int) -> Step:
    """Fold a run of one partition, in order. Every relationship in it must be in the block."""
    rows = [block.rows[span.id] for span in run.spans]
    lengths = [span.end - span.start for span in run.spans]
    tags = np.repeat(np.fromiter((row.tag for row in rows), np.uint32, len(rows)), lengths)
    days = np.array(run.received, np.int64) // DAY
    counts, new = block.ids.admit(np.array(run.hashes, np.uint64), tags, days, run.offsets)
    fold = _Fold(block, run, new.tolist(), known, terms, Fence(incarnation, partition))
    fold.step.duplicates = len(run) - int(np.count_nonzero(counts))
    waiting = _waiting(rows, run.spans, counts)
    while waiting:
        waiting = fold.through(waiting)
        _evaluate_due(block, fold.due, terms)
    return fold.step


Waiting = list[tuple[Row, Sequence[int]]]
"""Rows, each with where its events are that have not been folded yet."""


def _waiting(rows: Sequence[Row], spans: Sequence[Span], counts: Bools) -> Waiting:
    if counts.all():
        return [(row, range(span.start, span.end)) for row, span in zip(rows, spans, strict=True)]
    kept = [
        (row, [at for at, counted in enumerate(counts[span.start : span.end].tolist(), span.start) if counted])
        for row, span in zip(rows, spans, strict=True)
    ]
    return [(row, positions) for row, positions in kept if positions]


class _Fold:
    """Goes through a run, as often as it takes: events of a relationship that is due wait for the next time."""

    def __init__(self, block: Block, run: Run, new: list[bool], known: Known, terms: Terms, log: Fence) -> None:
        self.block = block
        self.run = run
        self.new = new  # by event: its id has never been seen
        self.known = known
        self.terms = terms
        self.log = log
        self.latest = max(run.received)
        self.step = Step({})
        self.due: list[tuple[Row, Fence, Millis]] = []  # rows, by what record, up to which moment
        self.uses = Uses(block, log)

    def through(self, waiting: Waiting) -> Waiting:
        """One pass over these events; those that must wait for an evaluation."""
        late: Waiting = []
        blocked: set[str] = set()  # a relationship may have several spans
        self.due, self.uses = [], Uses(self.block, self.log)
        for row, positions in waiting:
            rest = positions if row.head.id in blocked else self._row(row, positions)
            if rest:
                late.append((row, rest))
                blocked.add(row.head.id)
        self.uses.record()
        return late

    def _row(self, row: Row, positions: Sequence[int]) -> Sequence[int]:
        """Fold the events of a row, until it must be evaluated; the events that are left."""
        run, new, count = self.run, self.new, self.uses.count
        events, offsets, received, hashes = run.events, run.offsets, run.received, run.hashes
        head, calm = row.head, False
        for done, at in enumerate(positions):
            event = events[at]
            if event.__class__ is Use and (calm or self._calm(row, at)):
                calm = True
                offset, now, time = offsets[at], received[at], event.time
                if new[at]:
                    row.new_ids.append(Seen(hashes[at], offset, now))
                head.offset = offset
                head.events += 1
                if now > head.clock:
                    head.clock = now
                if time > head.last_seen:
                    head.last_seen = time
                if time < head.first_seen or not head.first_seen:
                    self.block.first_seen(row, time)
                count(row, event, offset)
            elif self._must_wait(row, at):
                return positions[done:]
            else:
                calm = self._one(row, at) and calm
        return ()

    def _calm(self, row: Row, at: int) -> bool:
        """Whether nothing falls due in this run, so that uses need no further look: if so, the row is made ready."""
        head = row.head
        if self.run.offsets[at] <= row.folded:
            return False
        end = max(head.clock, self.latest)
        boundary = next_boundary(max(head.clock, self.run.received[at]), self.terms.grain)
        if 0 < head.next_due_at <= end or boundary <= end:
            return False
        row.changed = True
        head.incarnation, head.partition = self.log.incarnation, self.log.partition
        head.next_due_at = min(head.next_due_at or boundary, boundary)
        self._touch(row)
        return True

    def _must_wait(self, row: Row, at: int) -> bool:
        """Whether the relationship must be evaluated before this event."""
        item = self.run.item(at)
        place = self._place(item)
        if not _overdue(row, item, place):
            return False
        self.due.append((row, place, _moment(row.head, item)))
        return True

    def _one(self, row: Row, at: int) -> bool:
        """Fold one event that is not a plain use of a calm row; whether the row stays calm if it was."""
        item = self.run.item(at)
        place = self._place(item)
        if _is_known_touchpoint(row, item, self.known, place):
            self.step.duplicates += 1
            return True
        self._touch(row)
        if self.new[at]:
            row.new_ids.append(Seen(self.run.hashes[at], item.offset, item.received))
        _fold(self.block, row, item, self.known, self.terms, place)
        return not item.event.backfill  # which makes it due sooner

    def _touch(self, row: Row) -> None:
        self.block.touch(row)
        self.step.touched[row.head.id] = row

    def _place(self, item: Item) -> Fence:
        return Fence(self.log.incarnation, self.log.partition, item.offset)


def _overdue(row: Row, item: Item, place: Fence) -> bool:
    """Whether the relationship must be evaluated before this event; loaded history waits for its end."""
    head = row.head
    if not _fresh(head, place) or (item.event.backfill and head.quiet_until > head.evaluated_at):
        return False
    return 0 < head.next_due_at <= _moment(head, item)


def tick(block: Block, rows: Sequence[Row], now: Millis, terms: Terms, place: Fence) -> None:
    """A clock record: evaluate these rows at each of their due moments up to `now`."""
    due = [(row, place, now) for row in rows if _fresh(row.head, place) and 0 < row.head.next_due_at <= now]
    _evaluate_due(block, due, terms)
    for row, _, _ in due:
        _move_fence(row, place)


def _evaluate_due(block: Block, due: Sequence[tuple[Row, Fence, Millis]], terms: Terms) -> None:
    """Evaluate rows at each of their due moments up to the given one, all rows together."""
    while due := [entry for entry in due if 0 < entry[0].head.next_due_at <= entry[2]]:
        evaluate(block, [row for row, _, _ in due], terms.playbook, [place for _, place, _ in due])


def _moment(head: Head, item: Item) -> Millis:
    return max(head.clock, item.received)


def _fresh(head: Head, place: Fence) -> bool:
    """Whether the head has not been folded this far yet."""
    same = head.incarnation == place.incarnation and head.partition == place.partition
    return not same or place.offset > head.offset


def _move_fence(row: Row, place: Fence) -> None:
    row.head.incarnation, row.head.partition, row.head.offset = place.incarnation, place.partition, place.offset


def _is_known_touchpoint(row: Row, item: Item, known: Known, place: Fence) -> bool:
    """Whether a touchpoint is on the timeline from an earlier place: touchpoints count once for ever."""
    event = item.event
    if event_type(event.type).kind is not EventClass.TOUCHPOINT:  # nothing else has an entry, or can be retracted
        return False
    entry_id = touchpoint_id(event.tenant, event.relationship, event_key(event.source, event.id))
    entry = row.pending.get(entry_id) or known.touchpoints.get(entry_id)
    if entry is None:
        return False
    return entry.incarnation != place.incarnation or entry.offset < place.offset


def _fold(block: Block, row: Row, item: Item, known: Known, terms: Terms, place: Fence) -> None:
    """Fold one event into every document of its relationship that has not been folded this far."""
    event, head = item.event, row.head
    fresh = _fresh(head, place)
    kind = event_type(event.type).kind
    if kind is EventClass.USAGE and item.usage is not None:
        block.count(row, (item.usage,), place, absolute=event.type == "usage.daily_total")
    elif kind is EventClass.TOUCHPOINT:
        _fold_touchpoint(block, row, item, known, terms, place)
    elif kind is EventClass.CORRECTION:
        timeline = {entry.id: entry for entry in known.timelines.get(head.id, ())} | row.pending
        at, playbook = _moment(head, item), terms.playbook
        correct(block, row, event, item.data, timeline.values(), place, at=at, playbook=playbook, fresh=fresh)
    if not fresh:
        return
    if kind is EventClass.DIRECTORY:
        head.directory = updated(head.directory, item.data, event.time)
        block.refresh_facts(row)
    _advance(block, row, item, terms)
    _move_fence(row, place)


def _advance(block: Block, row: Row, item: Item, terms: Terms) -> None:
    """The relationship's clock moves on, and its next canonical moment may come nearer."""
    event, head = item.event, row.head
    head.events += 1
    if not head.first_seen or event.time < head.first_seen:
        block.first_seen(row, event.time)
    head.last_seen = max(head.last_seen, event.time)
    if event.backfill:
        head.clock = max(head.clock, min(event.time, item.received))
        head.quiet_until = max(head.quiet_until, item.received)
        head.next_due_at = item.received + SETTLE
    else:
        head.clock = max(head.clock, item.received)
        boundary = next_boundary(head.clock, terms.grain)
        head.next_due_at = min(head.next_due_at or boundary, boundary)
    row.changed = True


def _fold_touchpoint(block: Block, row: Row, item: Item, known: Known, terms: Terms, place: Fence) -> None:
    touch = msgspec.structs.replace(
        made_of(item.event, item.data),
        incarnation=place.incarnation,
        partition=place.partition,
        offset=place.offset,
        position=place.offset,
        received=item.received,
    )
    if touch.id not in known.touchpoints:
        row.pending.setdefault(touch.id, touch)
    if touch.metric is not None:
        block.count(row, (Entry(touch.metric, touch.person, day_of(touch.time), 1.0),), place)
    if not _fresh(row.head, place):
        return
    row.head.facts = fold_touchpoint(row.head.facts, touch)
    block.refresh_facts(row)
    judge(row, touch, _moment(row.head, item), terms.playbook, place)
