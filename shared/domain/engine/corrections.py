"""Retractions and corrections: a touchpoint is undone or replaced, and everything that came of it with it."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.domain.columns.block import Block
from shared.domain.columns.row import Entry, Row
from shared.domain.contract.days import day_of
from shared.domain.contract.events import Interaction, JsonObject, Millis, event_key
from shared.domain.contract.times import parse_moment
from shared.domain.contract.types import event_type
from shared.domain.engine.changes import clear_flag
from shared.domain.engine.judging import judge
from shared.domain.engine.run import Item, Prefetched
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence, same_log
from shared.domain.relationship.flags import Why
from shared.domain.relationship.fold import fold_timeline
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id


def target_of(event: Interaction, data: JsonObject) -> str:
    """The key of the event a correction is about: `data.id`, of `data.source` or else of the correction's source."""
    return event_key(str(data.get("source", event.source)), str(data["id"]))


def target_id(event: Interaction, data: JsonObject) -> str:
    """The id of the timeline entry that a correction is about."""
    return touchpoint_id(event.tenant, event.relationship, target_of(event, data))


def correct(
    block: Block,
    row: Row,
    item: Item,
    prefetched: Prefetched,
    place: Fence,
    *,
    at: Millis,
    terms: Terms,
    fresh: bool,
) -> None:
    """Apply `event.retracted` or `event.corrected` to its target, wherever it has not been applied yet.

    Its target, or every entry of the relationship, must be prefetched or pending. `fresh`: the state has not been
    folded this far. What has not come yet can be retracted, or replaced as a whole; another time for it is passed over.
    The flag that the event had raised is cleared at `at`, unless what replaces it raises the same.
    """
    event, data, id = item.event, item.data, row.state.id
    target, entry_id = target_of(event, data), target_id(event, data)
    entries = {entry.id: entry for entry in prefetched.timelines.get(id, ())}
    if entry_id in prefetched.touchpoints:
        entries.setdefault(entry_id, prefetched.touchpoints[entry_id])
    entries |= row.pending
    before = entries.get(entry_id)
    if before is None and event.type == "event.corrected" and "type" not in data["replacement"]:
        return  # another time for what has never come: an entry without type would keep its event out
    if before is None or not _folded(before, place):
        after = entries[entry_id] = row.pending[entry_id] = _placed(_after(before, entry_id, event, data), place)
        counts = [*([] if before is None else _entries(before, -1.0)), *_entries(after, 1.0)]
        block.count(row, counts, place)
    if not fresh:
        return
    if id not in prefetched.traceless:
        known = sorted(entries.values(), key=lambda entry: (entry.received, entry.event_position))
        row.state.facts = fold_timeline(known)
        block.refresh_facts(row)
    raised = judge(row, entries[entry_id], at, terms, place, Why.CORRECTED)
    for key, flag in list(row.state.flags.items()):
        if target in flag.evidence.events and flag.until and key not in raised:
            clear_flag(row, key, at, place, Why.CORRECTED)


def _folded(entry: Touchpoint, place: Fence) -> bool:
    return same_log(entry, place) and entry.position >= place.position


def _placed(entry: Touchpoint, place: Fence) -> Touchpoint:
    return msgspec.structs.replace(
        entry, incarnation=place.incarnation, partition=place.partition, position=place.position
    )


def _entries(touch: Touchpoint, amount: float) -> list[Entry]:
    metric = touch.metric
    return [] if metric is None else [Entry(metric, touch.person, day_of(touch.time), amount)]


def _after(before: Touchpoint | None, entry_id: str, event: Interaction, data: JsonObject) -> Touchpoint:
    """The entry as it stands after the correction; one without type when its event has not been seen."""
    mine = event_key(event.source, event.id)
    if before is None:
        before = Touchpoint(id=entry_id, tenant=event.tenant, relationship=event.relationship, type="", time=event.time)
    if event.type == "event.retracted":
        return msgspec.structs.replace(before, retracted=True, retracted_by=mine)
    return _replaced(before, data["replacement"], mine)


def _replaced(before: Touchpoint, replacement: JsonObject, by: str) -> Touchpoint:
    type_name = str(replacement.get("type", before.type))
    data: dict[str, Any] = replacement.get("data", before.data)
    return msgspec.structs.replace(
        before,
        type=type_name,
        time=parse_moment(replacement["time"]) if "time" in replacement else before.time,
        direction=event_type(type_name).direction.value,
        channel=str(data.get("channel") or type_name.split(".")[0]),
        person=str(data.get("person", before.person)),
        data=data,
        corrected_by=by,
    )
