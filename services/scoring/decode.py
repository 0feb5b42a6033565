"""From records to what the engine takes: runs of events and clock records; what cannot be applied, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from shared import wire
from shared.domain.errors import Poison
from shared.domain.events import CLOCK_KEY, MAX_TIME, PLAIN_USE, Clock, Interaction, Millis, Use, relationship_key
from shared.domain.payload import checked_data
from shared.domain.run import Item, Run, usage_entry
from shared.stream.ports import Record

RUN_EVENTS = 3_000  # decoded at once: more do not fit into a processor's cache, fewer take longer each


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


def _decoded(by_key: dict[bytes | None, list[Record]]) -> Iterator[Segment]:
    """What lies between two clock records: runs, and what is bad."""
    run = Run()
    bad: list[Segment] = []
    for key, records in by_key.items():
        id = (key or b"").decode(errors="replace")
        for at in range(0, len(records), RUN_EVENTS):
            part = records[at : at + RUN_EVENTS]
            events, poisoned = _events(part, id)
            if poisoned:
                bad += poisoned
                gone = {one.record.offset for one in poisoned}
                part = [record for record in part if record.offset not in gone]
            run.append(id, events, [record.offset for record in part], [record.timestamp for record in part])
            if len(run) >= RUN_EVENTS:
                yield run
                run = Run()
    if run.events:
        yield run
    yield from bad


def _events(records: Sequence[Record], id: str) -> tuple[list[Use | Item], list[Bad]]:
    """Of one relationship: events, and what is bad.

    Plain uses are decoded in one go; whatever does not look like one is looked at closely.
    """
    tenant, _, relationship = id.partition("/")
    named = bool(tenant and relationship)
    found: list[Use | Item] = []
    bad: list[Bad] = []
    for record in records:
        try:
            use = _decode_use(record.value)
            if (
                named
                and use.relationship == relationship
                and use.tenant == tenant
                and use.type in PLAIN_USE
                and (use.data.feature or PLAIN_USE[use.type])
                and not use.backfill
            ):
                found.append(use)
                continue
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # no plain use
        try:
            found.append(_item(record, id))
        except Poison as poison:
            bad.append(Bad(record, poison))
    return found, bad


def _tick(record: Record) -> Tick | Bad:
    try:
        return Tick(record.offset, wire.decode(record.value, Clock).now)
    except Poison as poison:
        return Bad(record, poison)


def _item(record: Record, id: str) -> Item:
    """Only ingest writes here, and has checked; whatever else got in must not end the worker again and again.

    Raises Poison.
    """
    event = wire.decode(record.value, Interaction)
    if not event.tenant or "/" in event.tenant or not event.relationship:
        raise Poison("no_relationship", "An interaction needs a tenant (without a slash) and a relationship.")
    if relationship_key(event.tenant, event.relationship) != id:
        raise Poison("wrong_key", f"The record's key must be `tenant/relationship`, not {id!r}.")
    if not 0 <= event.time <= MAX_TIME:
        raise Poison("invalid_time", f"An interaction's time must be from 0 to {MAX_TIME} ms.")
    data = wire.decode(checked_data(event.type, event.data, max(record.timestamp, event.time)), dict)
    return Item(record.offset, record.timestamp, event, data, usage_entry(event, data))


_decode_use = msgspec.json.Decoder(Use).decode
