"""An accepted event as it travels, what makes it the same event, and the units and bounds that all events share."""

from __future__ import annotations

from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

Millis = int
"""A point in time: milliseconds since 1970-01-01 UTC."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MAX_TIME: Millis = 253_402_300_799_999  # the last moment that a calendar has: the end of the year 9999
FUTURE_TOLERANCE = DAY  # event time further ahead than this goes to quarantine


class Interaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One accepted event.

    `time` is the event's own time; the moment of receipt is that of its record in the log. `backfill` marks loaded
    history: it is folded, and raises nothing. `data` is as it came (JSON). `subject` is what `relationship` was
    resolved from, if it was another name.
    """

    tenant: str
    relationship: str
    id: str
    source: str
    type: str
    time: Millis
    data: msgspec.Raw = msgspec.Raw(b"{}")
    backfill: bool = False
    subject: str = ""


class Clock(msgspec.Struct, frozen=True, gc=False):
    """A clock record on `rapport.interactions`: evaluate what is due in this partition by `now`."""

    now: Millis


MAX_NAME = 512
"""The longest id, subject, person, feature...: characters."""

MAX_QUANTITY = 10**12
"""The largest quantity: however many of them add up to a finite number."""


def event_key(source: str, event_id: str) -> str:
    """What makes an event the same event within a tenant (CloudEvents: source and id together).

    A `#` of the source is percent-encoded, so that the first one ends the source.
    """
    if "#" in source or "%" in source:
        source = source.replace("%", "%25").replace("#", "%23")
    return f"{source}#{event_id}"


def id_hash(source: str, event_id: str) -> int:
    """64 bits of XXH3 over what makes an event the same event, never 0, which stands for an empty slot."""
    return xxh3_64_intdigest(f"{source}\n{event_id}".encode()) or 1  # no name holds a line's end


def segment(part: str) -> str:
    """A text as one segment of an id: its slashes are percent-encoded."""
    return part.replace("%", "%25").replace("/", "%2F")


def relationship_key(tenant: str, relationship: str) -> str:
    """`tenant/relationship`: the key on Kafka and the `_id` in the store. Tenants contain no slash."""
    return f"{tenant}/{relationship}"


JsonObject = dict[str, Any]
