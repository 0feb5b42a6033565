"""One event, folded in the plain way: into every document of its relationship that does not have it yet."""

from __future__ import annotations

import msgspec

from shared.domain.columns.block import Block
from shared.domain.columns.row import Entry, Row
from shared.domain.contract.days import day_of
from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import SECOND, Millis, event_key
from shared.domain.contract.types import event_type
from shared.domain.engine.corrections import correct
from shared.domain.engine.evaluation import next_boundary
from shared.domain.engine.judging import judge
from shared.domain.engine.run import Item, Prefetched
from shared.domain.engine.terms import Terms
from shared.domain.relationship.directory import updated
from shared.domain.relationship.fence import Fence, same_log
from shared.domain.relationship.flags import Why
from shared.domain.relationship.fold import fold_touchpoint
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import made_of, touchpoint_id
from shared.domain.rules.declaration import Trigger

TRIGGERS = {
    EventClass.USAGE: int(Trigger.USE),
    EventClass.TOUCHPOINT: int(Trigger.TOUCHPOINT),
    EventClass.CORRECTION: int(Trigger.TOUCHPOINT),
    EventClass.DIRECTORY: int(Trigger.DIRECTORY),
}
"""What an event of a class may change the answer of."""

WHY = {
    EventClass.USAGE: Why.ENDED,
    EventClass.TOUCHPOINT: Why.ENDED,
    EventClass.CORRECTION: Why.CORRECTED,
    EventClass.DIRECTORY: Why.SETTINGS,
}
"""Why a flag is cleared whose condition is not met any more after an event of a class."""

SETTLE = 5 * SECOND  # loaded history is evaluated when nothing more has come for this long


def overdue(row: Row, item: Item, place: Fence) -> bool:
    """Whether the relationship must be evaluated before this event; loaded history waits for its end."""
    state = row.state
    if not fresh(state, place) or (item.event.backfill and state.suppressed_until > state.evaluated_at):
        return False
    return 0 < state.next_due_at <= moment(state, item)


def moment(state: RelationshipState, item: Item) -> Millis:
    """When the relationship learns of an event: its clock does not go back."""
    return max(state.clock, item.received)


def fresh(state: RelationshipState, place: Fence) -> bool:
    """Whether the state has not been folded this far yet."""
    return not same_log(state, place) or place.position > state.position


def move_fence(row: Row, place: Fence) -> None:
    """The state has been folded up to here."""
    row.state.incarnation, row.state.partition, row.state.position = place.incarnation, place.partition, place.position


def is_known_touchpoint(row: Row, item: Item, prefetched: Prefetched, place: Fence) -> bool:
    """Whether a touchpoint is on the timeline, and not by this very record: touchpoints count once for ever.

    What was corrected before it came is there without a record of its own.
    """
    event = item.event
    if event_type(event.type).kind is not EventClass.TOUCHPOINT:  # nothing else has an entry, or can be retracted
        return False
    entry_id = touchpoint_id(event.tenant, event.relationship, event_key(event.source, event.id))
    entry = row.pending.get(entry_id) or prefetched.touchpoints.get(entry_id)
    return entry is not None and not (same_log(entry, place) and entry.event_position == place.position)


def fold_event(block: Block, row: Row, item: Item, prefetched: Prefetched, terms: Terms, place: Fence) -> int:
    """Fold one event into every document of its relationship that has not been folded this far.

    What it may have ended (of Trigger): nothing, if it is loaded history or the state had been folded this far.
    """
    event, state = item.event, row.state
    new = fresh(state, place)
    kind = event_type(event.type).kind
    if kind is EventClass.USAGE and item.usage is not None:
        block.count(row, (item.usage,), place, absolute=event.type == "usage.daily_total")
    elif kind is EventClass.TOUCHPOINT:
        _fold_touchpoint(block, row, item, prefetched, terms, place)
    elif kind is EventClass.CORRECTION:
        correct(block, row, item, prefetched, place, at=moment(state, item), terms=terms, fresh=new)
    if not new:
        return 0
    if kind is EventClass.DIRECTORY:
        state.directory = updated(state.directory, item.data, event.time)
        block.refresh_facts(row)
    _advance(block, row, item, terms)
    move_fence(row, place)
    state.triggered |= TRIGGERS[kind]
    return 0 if event.backfill else TRIGGERS[kind]


def _advance(block: Block, row: Row, item: Item, terms: Terms) -> None:
    """The relationship's clock moves on, and its next canonical moment may come nearer."""
    event, state = item.event, row.state
    state.events += 1
    if event.time and (not state.first_seen or event.time < state.first_seen):
        block.first_seen(row, event.time)
    state.last_seen = max(state.last_seen, event.time)
    if event.backfill:
        state.clock = max(state.clock, min(event.time, item.received))
        state.suppressed_until = max(state.suppressed_until, item.received)
        block.schedule(row, item.received + SETTLE)
    else:
        state.clock = max(state.clock, item.received)
        boundary = next_boundary(state.clock, terms.grain, row.phase)
        block.schedule(row, min(state.next_due_at or boundary, boundary))
    row.changed = True


def _fold_touchpoint(block: Block, row: Row, item: Item, prefetched: Prefetched, terms: Terms, place: Fence) -> None:
    touch = msgspec.structs.replace(
        made_of(item.event, item.data),
        incarnation=place.incarnation,
        partition=place.partition,
        position=place.position,
        event_position=place.position,
        received=item.received,
    )
    if touch.id not in prefetched.touchpoints:
        row.pending.setdefault(touch.id, touch)
    if touch.metric is not None:
        block.count(row, (Entry(touch.metric, touch.person, day_of(touch.time), 1.0),), place)
    if not fresh(row.state, place):
        return
    row.state.disordered |= item.received < row.state.touched_at
    row.state.touched_at = max(row.state.touched_at, item.received)
    row.state.facts = fold_touchpoint(row.state.facts, touch)
    block.refresh_facts(row)
    judge(row, touch, moment(row.state, item), terms, place)
