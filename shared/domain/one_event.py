"""One event, folded in the plain way: into every document of its relationship that does not have it yet."""

from __future__ import annotations

import msgspec

from shared.domain.block import Block
from shared.domain.corrections import correct
from shared.domain.directory import updated
from shared.domain.evaluation import judge, next_boundary
from shared.domain.events import SECOND, EventClass, Millis, event_key, event_type
from shared.domain.fence import Fence, same_log
from shared.domain.fold import fold_touchpoint
from shared.domain.relationship import Head
from shared.domain.row import Entry, Row
from shared.domain.run import Item, Known
from shared.domain.terms import Terms
from shared.domain.touchpoints import made_of, touchpoint_id
from shared.domain.usage import day_of

SETTLE = 5 * SECOND  # loaded history is evaluated when nothing more has come for this long


def overdue(row: Row, item: Item, place: Fence) -> bool:
    """Whether the relationship must be evaluated before this event; loaded history waits for its end."""
    head = row.head
    if not fresh(head, place) or (item.event.backfill and head.quiet_until > head.evaluated_at):
        return False
    return 0 < head.next_due_at <= moment(head, item)


def moment(head: Head, item: Item) -> Millis:
    """When the relationship learns of an event: its clock does not go back."""
    return max(head.clock, item.received)


def fresh(head: Head, place: Fence) -> bool:
    """Whether the head has not been folded this far yet."""
    return not same_log(head, place) or place.offset > head.offset


def move_fence(row: Row, place: Fence) -> None:
    """The head has been folded up to here."""
    row.head.incarnation, row.head.partition, row.head.offset = place.incarnation, place.partition, place.offset


def is_known_touchpoint(row: Row, item: Item, known: Known, place: Fence) -> bool:
    """Whether a touchpoint is on the timeline from an earlier place: touchpoints count once for ever."""
    event = item.event
    if event_type(event.type).kind is not EventClass.TOUCHPOINT:  # nothing else has an entry, or can be retracted
        return False
    entry_id = touchpoint_id(event.tenant, event.relationship, event_key(event.source, event.id))
    entry = row.pending.get(entry_id) or known.touchpoints.get(entry_id)
    if entry is None:
        return False
    return entry.incarnation != place.incarnation or entry.offset < place.offset


def fold_event(block: Block, row: Row, item: Item, known: Known, terms: Terms, place: Fence) -> None:
    """Fold one event into every document of its relationship that has not been folded this far."""
    event, head = item.event, row.head
    new = fresh(head, place)
    kind = event_type(event.type).kind
    if kind is EventClass.USAGE and item.usage is not None:
        block.count(row, (item.usage,), place, absolute=event.type == "usage.daily_total")
    elif kind is EventClass.TOUCHPOINT:
        _fold_touchpoint(block, row, item, known, terms, place)
    elif kind is EventClass.CORRECTION:
        timeline = {entry.id: entry for entry in known.timelines.get(head.id, ())} | row.pending
        at, playbook = moment(head, item), terms.playbook
        correct(block, row, event, item.data, timeline.values(), place, at=at, playbook=playbook, fresh=new)
    if not new:
        return
    if kind is EventClass.DIRECTORY:
        head.directory = updated(head.directory, item.data, event.time)
        block.refresh_facts(row)
    _advance(block, row, item, terms)
    move_fence(row, place)


def _advance(block: Block, row: Row, item: Item, terms: Terms) -> None:
    """The relationship's clock moves on, and its next canonical moment may come nearer."""
    event, head = item.event, row.head
    head.events += 1
    if event.time and (not head.first_seen or event.time < head.first_seen):
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
    if not fresh(row.head, place):
        return
    row.head.facts = fold_touchpoint(row.head.facts, touch)
    block.refresh_facts(row)
    judge(row, touch, moment(row.head, item), terms.playbook, place)
