"""The engine: folds a partition's records into a block, and evaluates what falls due on the way.

A verdict depends on the log alone, never on how its records were batched: an event that reaches a relationship at or
past its due moment waits until the relationship has been evaluated as of that moment. Events of many relationships
that wait are evaluated together, in waves.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import shared.domain.contact_rules
import shared.domain.usage_rules  # noqa: F401  (enters its rules into the table)
from shared.domain.block import Block, Entry, Row
from shared.domain.corrections import correct
from shared.domain.dedup import id_hash
from shared.domain.directory import updated
from shared.domain.evaluation import evaluate, judge, next_boundary
from shared.domain.events import DAY, HOUR, SECOND, EventClass, Interaction, JsonObject, Millis, event_key, event_type
from shared.domain.fence import Fence
from shared.domain.fold import fold_touchpoint
from shared.domain.playbooks import Playbook
from shared.domain.relationship import Head
from shared.domain.touchpoints import Touchpoint, made_of, touchpoint_id
from shared.domain.usage import USE, day_number, day_of

SETTLE = 5 * SECOND  # loaded history is evaluated when nothing more has come for this long


class Terms(msgspec.Struct, frozen=True):
    """What the engine goes by: the playbook, the canonical grain and the window within which an id counts once."""

    playbook: Playbook
    grain: Millis = HOUR
    dedup_window: Millis = 7 * DAY


class Item(msgspec.Struct, frozen=True, gc=False):
    """One decoded event: where it lies in the log, when it was received, and its `data` (usage: as an entry)."""

    offset: int
    received: Millis
    event: Interaction
    data: JsonObject
    usage: Entry | None = None


class Known(msgspec.Struct):
    """What was read from the store for a batch: timeline entries that exist, and whole timelines for corrections."""

    touchpoints: dict[str, Touchpoint]
    timelines: dict[str, list[Touchpoint]]


class Step(msgspec.Struct):
    """What came of a batch: rows it touched (to store, or to tell of again), and how many duplicates it dropped."""

    touched: dict[str, Row]
    duplicates: int = 0


def usage_entry(event: Interaction, data: JsonObject) -> Entry | None:
    """What a usage event counts; None for other types."""
    if event_type(event.type).kind is not EventClass.USAGE:
        return None
    feature = str(data.get("feature") or event.type.split(".")[1])
    day = day_number(data["day"]) if event.type == "usage.daily_total" else day_of(event.time)
    return Entry(USE + feature, str(data.get("person", "")), day, float(data.get("quantity", 1)))


def step_many(
    block: Block, items: Sequence[Item], known: Known, terms: Terms, incarnation: str, partition: int
) -> Step:
    """Fold a batch of one partition, in order. Every relationship in it must be in the block."""
    step = Step({})
    waiting = list(items)
    while waiting:
        late: list[Item] = []
        due: dict[str, tuple[Row, Fence, Millis]] = {}
        for item in waiting:
            row = block.rows[f"{item.event.tenant}/{item.event.relationship}"]
            place = Fence(incarnation, partition, item.offset)
            if row.head.id in due:
                late.append(item)
            elif _is_duplicate(row, item, known, terms, place):
                step.duplicates += 1
            elif _overdue(row, item, place):
                due[row.head.id] = (row, place, _moment(row.head, item))
                late.append(item)
            else:
                block.touch(row)
                step.touched[row.head.id] = row
                _fold(block, row, item, known, terms, place)
        _evaluate_due(block, list(due.values()), terms)
        waiting = late
    return step


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


def _overdue(row: Row, item: Item, place: Fence) -> bool:
    """Whether the relationship must be evaluated before this event; loaded history waits for its end."""
    head = row.head
    if not _fresh(head, place) or (item.event.backfill and head.quiet_until > head.evaluated_at):
        return False
    return 0 < head.next_due_at <= _moment(head, item)


def _fresh(head: Head, place: Fence) -> bool:
    """Whether the head has not been folded this far yet."""
    same = head.incarnation == place.incarnation and head.partition == place.partition
    return not same or place.offset > head.offset


def _move_fence(row: Row, place: Fence) -> None:
    row.head.incarnation, row.head.partition, row.head.offset = place.incarnation, place.partition, place.offset


def _is_duplicate(row: Row, item: Item, known: Known, terms: Terms, place: Fence) -> bool:
    event = item.event
    key = event_key(event.source, event.id)
    if row.ids.is_duplicate(id_hash(key), place, item.received, terms.dedup_window):
        return True
    if event_type(event.type).kind is not EventClass.TOUCHPOINT:  # nothing else has an entry, or can be retracted
        return False
    entry_id = touchpoint_id(event.tenant, event.relationship, key)
    entry = row.pending.get(entry_id) or known.touchpoints.get(entry_id)
    if entry is None:
        return False
    return entry.incarnation != place.incarnation or entry.offset < place.offset


def _fold(block: Block, row: Row, item: Item, known: Known, terms: Terms, place: Fence) -> None:
    """Fold one event into every document of its relationship that has not been folded this far."""
    event, head = item.event, row.head
    fresh = _fresh(head, place)
    row.ids.add(id_hash(event_key(event.source, event.id)), place, item.received)
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
        row.republish = True
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
        head.first_seen = event.time
        block.refresh_facts(row)
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
