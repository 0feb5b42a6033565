"""How an event type is declared: its class, who acts, what it says, the fields of its `data`, and what it demands.

Adding a type: one row in EVENT_TYPES (types.py), which the check, the JSON Schema and the docs are made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from shared.domain.contract.events import JsonObject, Millis
from shared.domain.contract.kinds import DAY_OF, NAME, NAMES, QUANTITY, REPLACEMENT, SENTIMENT, TEXT, Kind


class EventClass(StrEnum):
    """How scoring treats a type: counted, kept on the timeline, a correction, or about the relationship itself."""

    USAGE = "usage"
    TOUCHPOINT = "touchpoint"
    CORRECTION = "correction"
    DIRECTORY = "directory"


class Direction(StrEnum):
    """Who acted: they towards us, we towards them, both, or neither (a fact)."""

    INBOUND = "in"
    OUTBOUND = "out"
    MUTUAL = "both"
    FACT = "fact"


class Required(msgspec.Struct, frozen=True):
    """A field that must be there, and not null."""

    kind: Kind


Fields = Mapping[str, Kind | Required]
"""The fields of `data` that a declaration names, in the order in which docs show them."""

Demand = Callable[[JsonObject, Millis, str], None]
"""Given `data`, the receipt and where `data` stands ("data"), raises Poison. Each known field is as it must be by then,
and what is not required may be null."""


class EventType(msgspec.Struct, frozen=True):
    """What the contract says of a type. Fields of `data` that it does not know are kept as they are.

    `says` is one sentence for senders; `required` names the fields that must be there; `demands` is what goes beyond
    one field at a time.
    """

    kind: EventClass
    direction: Direction
    says: str
    fields: dict[str, Kind]
    required: tuple[str, ...]
    demands: Demand | None = None


Types = Mapping[str, EventType]

NO_FIELDS: Fields = {}

_OF_EVERY: dict[EventClass, Fields] = {
    EventClass.USAGE: {"person": NAME, "feature": NAME, "quantity": QUANTITY, "day": DAY_OF},
    EventClass.TOUCHPOINT: {
        "person": NAME,
        "peer": NAME,
        "people": NAMES,
        "peers": NAMES,
        "channel": NAME,
        "thread": NAME,
        "text": TEXT,
        "sentiment": SENTIMENT,
    },
    EventClass.CORRECTION: {"id": NAME, "source": NAME, "replacement": REPLACEMENT},
    EventClass.DIRECTORY: NO_FIELDS,
}
"""The fields that every type of a class has, beside its own."""


def usage(says: str, fields: Fields = NO_FIELDS, demands: Demand | None = None) -> EventType:
    """They used something: counted by feature, person and day."""
    return _declared(EventClass.USAGE, Direction.INBOUND, says, fields, demands)


def touchpoint(direction: Direction, says: str, fields: Fields = NO_FIELDS, demands: Demand | None = None) -> EventType:
    """One entry on the timeline; unless it is a fact, it counts as contact."""
    return _declared(EventClass.TOUCHPOINT, direction, says, fields, demands)


def correction(says: str, fields: Fields, demands: Demand | None = None) -> EventType:
    """Puts right an event that was sent."""
    return _declared(EventClass.CORRECTION, Direction.FACT, says, fields, demands)


def directory(says: str, fields: Fields, demands: Demand | None = None) -> EventType:
    """Says something of the relationship itself."""
    return _declared(EventClass.DIRECTORY, Direction.FACT, says, fields, demands)


def _declared(kind: EventClass, direction: Direction, says: str, fields: Fields, demands: Demand | None) -> EventType:
    whole = {**_OF_EVERY[kind], **fields}
    return EventType(
        kind,
        direction,
        says,
        {name: field.kind if isinstance(field, Required) else field for name, field in whole.items()},
        tuple(name for name, field in fields.items() if isinstance(field, Required)),
        demands,
    )


GENERIC = touchpoint(Direction.FACT, "Something that Rapport knows no more of.")
"""What a type that is not declared is taken for."""
