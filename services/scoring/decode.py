"""From records to what the engine takes: items and clock records; what cannot be applied, with its reason."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared import wire
from shared.domain.engine import Item, usage_entry
from shared.domain.errors import Poison
from shared.domain.events import CLOCK_KEY, Clock, Interaction, Millis
from shared.domain.payload import checked_data
from shared.stream.ports import Record


class Tick(msgspec.Struct, frozen=True):
    """A clock record at its place in the log."""

    offset: int
    now: Millis


class Bad(msgspec.Struct, frozen=True):
    """A record that can never be applied."""

    record: Record
    poison: Poison


Segment = list[Item] | Tick | Bad


def segments(records: Iterable[Record]) -> list[Segment]:
    """Runs of items, with clock records and bad records between them, in the order of the log."""
    found: list[Segment] = []
    run: list[Item] = []
    for record in records:
        if record.key == CLOCK_KEY:
            if run:
                found.append(run)
                run = []
            found.append(_tick(record))
            continue
        try:
            run.append(_item(record))
        except Poison as poison:
            found.append(Bad(record, poison))
    if run:
        found.append(run)
    return found


def end_of(segment: Segment) -> int:
    """The offset after its last record."""
    if isinstance(segment, list):
        return segment[-1].offset + 1
    return 1 + (segment.offset if isinstance(segment, Tick) else segment.record.offset)


def _tick(record: Record) -> Segment:
    try:
        return Tick(record.offset, wire.decode(record.value, Clock).now)
    except Poison as poison:
        return Bad(record, poison)


def _item(record: Record) -> Item:
    """Only ingest writes here, and has checked; whatever else got in must not end the worker again and again."""
    event = wire.decode(record.value, Interaction)
    if not event.tenant or "/" in event.tenant or not event.relationship:
        raise Poison("no_relationship", "An interaction needs a tenant (without a slash) and a relationship.")
    data = wire.decode(checked_data(event.type, event.data, max(record.timestamp, event.time)), dict)
    return Item(record.offset, record.timestamp, event, data, usage_entry(event, data))
