"""The quarantine: what could not be accepted or applied, as it came, with its reason (topic rapport.quarantine)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from shared import wire
from shared.domain.contract.events import MAX_NAME, JsonObject, Millis
from shared.domain.contract.moments import rfc3339
from shared.domain.errors import Poison
from shared.stream.ports import LogReader, Message
from shared.stream.topics import QUARANTINE

PARTITION = 0  # the topic has one
KEPT_BYTES = 64 * 1024
"""How much of an original is kept: twice the largest event that is accepted."""

INBOX, HTTP, SCORING = "inbox", "http", "scoring"


class Quarantined(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message that was set aside.

    `source` is who found it (http, inbox, scoring, alerts), `origin` the record it was (`topic/partition/offset`),
    `original` its bytes (base64 in JSON), `size` how many there were: more than are kept when it was very long.
    """

    tenant: str
    source: str
    reason: str
    detail: str
    received: Millis
    original: bytes
    size: int
    id: str = ""
    origin: str = ""

    @property
    def whole(self) -> bool:
        return self.size == len(self.original)


class Entry(msgspec.Struct, frozen=True):
    """What lies at an offset of the quarantine."""

    offset: int
    item: Quarantined


class Reason(msgspec.Struct, frozen=True):
    """Why something is set aside: slug, sentence, and the id of the event where one is known."""

    slug: str
    detail: str
    id: str = ""


def quarantine_message(
    tenant: str, source: str, reason: Reason, received: Millis, original: bytes | msgspec.Raw | None, origin: str = ""
) -> Message:
    """The message for topic rapport.quarantine, partition 0; of a long original only the beginning is kept.

    So it is with a tenant that is too long to be one: the message must fit into the topic whatever was sent. A record
    without a value is kept as an empty one.
    """
    view = memoryview(b"" if original is None else original)
    tenant = tenant[:MAX_NAME]
    item = Quarantined(
        tenant, source, reason.slug, reason.detail, received, bytes(view[:KEPT_BYTES]), len(view), reason.id, origin
    )
    return Message(wire.encode(item), key=tenant.encode(), timestamp=received)


async def read_quarantine(reader: LogReader) -> AsyncIterator[Entry]:
    """Everything in quarantine at this moment, oldest first. Raises Unavailable."""
    first, end = await reader.bounds(QUARANTINE, PARTITION)
    if first == end:
        return
    async for record in reader.read(QUARANTINE, PARTITION, first, follow=False):
        yield Entry(record.offset, wire.decode(record.value, Quarantined))


def as_event(item: Quarantined) -> bytes:
    """The original as a CloudEvent: as it came, or made again from an interaction that scoring could not apply.

    Raises Poison where it is neither.
    """
    if item.source in (HTTP, INBOX):
        return item.original
    if item.source != SCORING:
        raise Poison("not_an_event", f"what {item.source} set aside is no event and cannot be sent again")
    found = wire.decode(item.original, dict)
    names = ("id", "source", "type", "data")
    event: JsonObject = {"specversion": "1.0", "subject": found.get("subject") or found.get("relationship")}
    event |= {name: found[name] for name in names if name in found}
    event |= {"time": rfc3339(found["time"])} if isinstance(found.get("time"), int) else {}
    return wire.encode(event | ({"rapportbackfill": True} if found.get("backfill") else {}))
