"""From records to what the engine takes: runs of events and clock records; what cannot be applied, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from shared import wire
from shared.domain.contract.events import (
    CLOCK_KEY,
    DAY,
    MAX_TIME,
    Clock,
    Interaction,
    Millis,
    relationship_key,
)
from shared.domain.contract.payload import checked_data
from shared.domain.contract.uses import PLAIN_USE, Use
from shared.domain.engine.run import Item, Run, usage_entry
from shared.domain.errors import Poison
from shared.stream.ports import Record

RUN_EVENTS = 3_000  # decoded at once: more do not fit into a processor's cache, fewer take longer each
KEY_SHOWN = 200  # bytes of a wrong key that are named: the message about it must fit into quarantine


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
        id = _id(key)
        for at in range(0, len(records), RUN_EVENTS):
            part = records[at : at + RUN_EVENTS]
            received = [record.timestamp for record in part]
            events, poisoned = _events(part, received, id)
            if poisoned:
                bad += poisoned
                gone = {one.record.offset for one in poisoned}
                part = [record for record in part if record.offset not in gone]
                received = [record.timestamp for record in part]
            run.append(id or "", events, [record.offset for record in part], received)
            if len(run) >= RUN_EVENTS:
                yield run
                run = Run()
    if len(run):
        yield run
    yield from bad


def _id(key: bytes | None) -> str | None:
    """The relationship that a key names; None for what is no text: two such keys must not be taken for one."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return None


def _events(
    records: Sequence[Record], received: Sequence[Millis], id: str | None
) -> tuple[list[Use | Item], list[Bad]]:
    """Of one relationship: events, and what is bad.

    Plain uses are decoded in one go; whatever does not look like one is looked at closely. So are all of them if one
    was received at an impossible moment: to ask at each would take its time.
    """
    tenant, _, relationship = (id or "").partition("/")
    plain = bool(tenant and relationship) and min(received) > 0 and max(received) <= MAX_TIME
    found: list[Use | Item] = []
    bad: list[Bad] = []
    for record in records:
        try:
            use = _decode_use(record.value)
            if (
                plain
                and use.relationship == relationship
                and use.tenant == tenant
                and use.type in PLAIN_USE
                and (use.data.feature or PLAIN_USE[use.type])
                and not use.backfill
            ):
                found.append(use)
                continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            pass  # no plain use, or (TypeError) no value at all
        try:
            found.append(_item(record, id))
        except Poison as poison:
            bad.append(Bad(record, poison))
    return found, bad


def _tick(record: Record) -> Tick | Bad:
    try:
        now = wire.decode(record.value, Clock).now
        _refuse_impossible_receipt(record)
        if not 0 <= now <= min(record.timestamp + DAY, MAX_TIME):
            raise Poison("invalid_time", "A clock record's `now` must be from 0 to a day after the record's timestamp.")
        return Tick(record.offset, now)
    except Poison as poison:
        return Bad(record, poison)


def _refuse_impossible_receipt(record: Record) -> None:
    if not 0 < record.timestamp <= MAX_TIME:
        raise Poison(
            "invalid_time",
            f"The record's timestamp {record.timestamp} is no moment of receipt: leave it to the producer, or set it in"
            " milliseconds since 1970.",
        )


def _item(record: Record, id: str | None) -> Item:
    """Only ingest writes here, and has checked; whatever else got in must not end the worker again and again.

    Raises Poison.
    """
    _refuse_impossible_receipt(record)
    event = wire.decode(record.value, Interaction)
    if not event.tenant or "/" in event.tenant or not event.relationship:
        raise Poison("no_relationship", "An interaction needs a tenant (without a slash) and a relationship.")
    if relationship_key(event.tenant, event.relationship) != id:
        shown = (record.key or b"")[:KEY_SHOWN].decode(errors="backslashreplace")
        raise Poison("wrong_key", f"The record's key must be `tenant/relationship`, not {shown!r}.")
    if not 0 <= event.time <= MAX_TIME:
        raise Poison("invalid_time", f"An interaction's time must be from 0 to {MAX_TIME} ms.")
    data = wire.decode(checked_data(event.type, event.data, max(record.timestamp, event.time)), dict)
    return Item(record.offset, record.timestamp, event, data, usage_entry(event, data))


_decode_use = msgspec.json.Decoder(Use).decode
