"""What a source hands to the publisher: encoded events, and what it had to reject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from shared.domain.contract.days import iso
from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import Millis
from shared.domain.contract.types import event_type

ENCODER = msgspec.json.Encoder()


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One CloudEvent as JSON, from `line` of its file (the n-th row or commit); `time` is 0 where it is unknown."""

    line: int
    id: str
    subject: str
    raw: bytes
    time: Millis = 0


class Rejection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that did not become an accepted event: where, why (a slug), in words, and what it was."""

    line: int
    reason: str
    detail: str
    id: str = ""
    event: msgspec.Raw = msgspec.Raw(b"null")


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """One line, row or commit read: its events, what was wrong with it, and how far the source has come."""

    line: int
    events: tuple[Outgoing, ...] = ()
    problems: tuple[Rejection, ...] = ()
    done: int = 0


class Source(Protocol):
    """A file or a repository, read once from its beginning, in an order that is the same every time."""

    name: str
    total: int  # what `Loaded.done` counts up to (bytes, rows or commits); 0 = unknown
    additive: set[str]  # additive usage types met so far: their ids are remembered for some days only

    def read(self) -> Iterator[Loaded]: ...


def encode_event(
    *, line: int, id: str, source: str, type: str, subject: str, time: Millis, data: dict[str, Any], backfill: bool
) -> Outgoing:
    """A CloudEvents 1.0 event in JSON format; `backfill` marks history, which raises no alerts."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        "subject": subject,
        "time": iso(time),
        "data": data,
    }
    if backfill:
        event["rapportbackfill"] = True
    return Outgoing(line, id, subject, ENCODER.encode(event), time)


def is_additive(type_name: str) -> bool:
    """Usage that adds up instead of replacing a day's total: loading it again after the dedup window counts twice."""
    return event_type(type_name).kind is EventClass.USAGE and type_name != "usage.daily_total"


def restates(type_name: str) -> bool:
    """Whether the type says how something stands: a changed value is news, although it is about the same row."""
    return type_name == "usage.daily_total" or event_type(type_name).kind is EventClass.DIRECTORY
