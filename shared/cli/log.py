"""`rapport log`: what lies in `rapport.interactions`, event by event."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
import typer

from shared import wire
from shared.cli.failing import fail, or_fail
from shared.domain.contract.events import Clock, Interaction, Millis
from shared.domain.contract.moments import rfc3339
from shared.domain.errors import Poison
from shared.domain.relationship.fence import EVENTS_A_RECORD, position_of
from shared.printable import printable
from shared.settings import read_settings
from shared.stream.frames import CLOCK, EVENTS, interactions, kind_of, read_frame
from shared.stream.ports import LogReader, Record
from shared.stream.reader import KafkaReader
from shared.stream.topics import INTERACTIONS

log_app = typer.Typer(no_args_is_help=True)

Line = dict[str, Any]
_POSITION = re.compile("([0-9]{1,18})(?:/([0-9]{1,5}))?")


@log_app.callback()
def log() -> None:
    """The log of accepted events."""


@log_app.command()
def show(
    partition: Annotated[int, typer.Option(min=0, help="of rapport.interactions")],
    first: Annotated[
        str, typer.Option("--from", metavar="P", help="a position, or OFFSET/PLACE [default: the beginning]")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many lines [default: all]")] = None,
    kafka: Annotated[str, typer.Option(help="bootstrap servers [default: RAPPORT_KAFKA]")] = "",
) -> None:
    """Print what lies in a partition as JSON lines: events as they were accepted, and clock records.

    A position is where an event lies in its partition: 65,536 times the offset of its record, and its place in that.
    """
    start = position(first) if first else None

    async def work() -> None:
        reader = KafkaReader(kafka or read_settings().kafka)
        try:
            count = 0
            async for line in lines(reader, partition, start):
                typer.echo(printable(json.dumps(line, ensure_ascii=False)))
                count += 1
                if count == limit:
                    break
        finally:
            await reader.close()

    or_fail(lambda: asyncio.run(work()))


def position(text: str) -> int:
    """The position that is meant: a number, or the offset of a record and a place in it."""
    found = _POSITION.fullmatch(text)
    if found is None or int(found[2] or 0) >= EVENTS_A_RECORD:
        fail(f"--from is a position such as 1114116, or an offset and a place such as 17/4, not {text[:40]!r}.")
    return position_of(int(found[1]), int(found[2])) if found[2] else int(found[1])


async def lines(reader: LogReader, partition: int, start: int | None) -> AsyncIterator[Line]:
    """A line an event or clock record, from a position on (None: from the beginning) to the present end.

    Raises Misconfigured for an offset that is not in the log, or a record of a newer version; Unavailable.
    """
    begins, end = await reader.bounds(INTERACTIONS, partition)
    first = position_of(begins) if start is None else start
    if first == position_of(end):
        return
    async for record in reader.read(INTERACTIONS, partition, first // EVENTS_A_RECORD, follow=False):
        for line in _lines(record, partition):
            if line["position"] >= first:
                yield line


def _lines(record: Record, partition: int) -> Iterator[Line]:
    head = {"partition": partition, "offset": record.offset}
    try:
        if (kind := kind_of(record)) == CLOCK:
            now = wire.decode(record.value, Clock).now
            yield head | {"position": position_of(record.offset), "kind": "clock", "now": moment(now)}
        elif kind == EVENTS:
            for place, event in enumerate(interactions(read_frame(record.value))):
                here = {"place": place, "position": position_of(record.offset, place), "kind": "event"}
                yield head | here | {"received": moment(record.timestamp)} | described(event)
        else:
            raise Poison("undecodable", "The record has no header that says what it is.")
    except Poison as poison:
        what = {"kind": "unreadable", "reason": poison.reason, "detail": poison.detail}
        yield head | {"position": position_of(record.offset)} | what


def described(event: Interaction) -> Line:
    """An event for people and programs; its time as RFC 3339, its data as JSON."""
    line: Line = {name: getattr(event, name) for name in ("tenant", "relationship", "id", "source", "type")}
    line |= {"subject": event.subject} if event.subject else {}
    line |= {"time": moment(event.time), "data": _data(event)}
    return line | ({"backfill": True} if event.backfill else {})


def moment(at: Millis) -> str | Millis:
    """As RFC 3339; what is no moment stays a number."""
    try:
        return rfc3339(at)
    except (ValueError, OverflowError, OSError):
        return at


def _data(event: Interaction) -> Any:
    try:
        return msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(event.data).decode(errors="backslashreplace")
