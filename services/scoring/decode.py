"""From records to what the engine takes: runs of events and clock records; what cannot be applied, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from shared import wire
from shared.domain.dedup import id_hash
from shared.domain.engine import Item, Run, usage_entry
from shared.domain.errors import Poison
from shared.domain.events import CLOCK_KEY, MAX_TIME, PLAIN_USE, Clock, Interaction, Millis, Use, relationship_key
from shared.domain.payload import checked_data
from shared.stream.ports import Record

RUN_EVENTS = 1_000  # about as many as fit into a processor's cache when they are decoded


class Tick(msgspec.Struct, frozen=True):
    """A clock record at its place in the log."""

    offset: int
    now: Millis


class Bad(msgspec.Struct, frozen=True):
    """A record that can never be applied."""

    record: Record
    poison: Poison


Segment = Run | Tick | Bad


def segments(records: Iterable[Record]) -> Iterator[Segment]:
    """Runs of events and bad records, with clock records between them, in the order of the log.

    Within a run, the events of one relationship follow one another, and it is decoded when it is asked for: what is
    folded, and what that touches, is then in the processor's cache, which more than halves the time it takes.
    """
    by_key: dict[bytes | None, list[Record]] = {}
    for record in records:
        if record.key == CLOCK_KEY:
            yield from _decoded(by_key)
            yield _tick(record)
            by_key = {}
        elif record.key in by_key:
            by_key[record.key].append(record)
        else:
            by_key[record.key] = [record]
    yield from _decoded(by_key)


def end_of(segment: Segment) -> int:
    """The offset after its last record."""
    if isinstance(segment, Run):
        return max(segment.offsets) + 1
    return 1 + (segment.offset if isinstance(segment, Tick) else segment.record.offset)


def _decoded(by_key: dict[bytes | None, list[Record]]) -> Iterator[Segment]:
    """What lies between two clock records: runs, and what is bad."""
    run = Run()
    bad: list[Segment] = []
    for key, records in by_key.items():
        id = (key or b"").decode(errors="replace")
        for at in range(0, len(records), RUN_EVENTS):
            start = len(run)
            for record in records[at : at + RUN_EVENTS]:
                event = _event(record, id)
                if isinstance(event, Bad):
                    bad.append(event)
                    continue
                said = event if isinstance(event, Use) else event.event
                run.add(event, id_hash(said.source, said.id), record.offset, record.timestamp)
            run.close(id, start)
            if len(run) >= RUN_EVENTS:
                yield run
                run = Run()
    if run.events:
        yield run
    yield from bad


def _event(record: Record, id: str) -> Use | Item | Bad:
    """Plain uses are decoded in one go; whatever does not look like one is looked at closely."""
    try:
        use = _decode_use(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _item(record, id)
    if (
        f"{use.tenant}/{use.relationship}" == id
        and use.type in PLAIN_USE
        and use.relationship
        and use.tenant
        and "/" not in use.tenant
        and (use.data.feature or PLAIN_USE[use.type])
        and not use.backfill
    ):
        return use
    return _item(record, id)


def _tick(record: Record) -> Tick | Bad:
    try:
        return Tick(record.offset, wire.decode(record.value, Clock).now)
    except Poison as poison:
        return Bad(record, poison)


def _item(record: Record, id: str) -> Item | Bad:
    """Only ingest writes here, and has checked; whatever else got in must not end the worker again and again."""
    try:
        event = wire.decode(record.value, Interaction)
        if not event.tenant or "/" in event.tenant or not event.relationship:
            raise Poison("no_relationship", "An interaction needs a tenant (without a slash) and a relationship.")
        if relationship_key(event.tenant, event.relationship) != id:
            raise Poison("wrong_key", f"The record's key must be `tenant/relationship`, not {id!r}.")
        if not 0 <= event.time <= MAX_TIME:
            raise Poison("invalid_time", f"An interaction's time must be from 0 to {MAX_TIME} ms.")
        data = wire.decode(checked_data(event.type, event.data, max(record.timestamp, event.time)), dict)
    except Poison as poison:
        return Bad(record, poison)
    return Item(record.offset, record.timestamp, event, data, usage_entry(event, data))


_decode_use = msgspec.json.Decoder(Use).decode
