"""The event contract: what an interaction is, which types there are, and what each must carry."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec

Millis = int
"""A point in time: milliseconds since 1970-01-01 UTC."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MAX_TIME: Millis = 253_402_300_799_999  # the last moment that a calendar has: the end of the year 9999
FUTURE_TOLERANCE = DAY  # event time further ahead than this goes to quarantine


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


class EventType(msgspec.Struct, frozen=True):
    """One row of the contract: class, direction, and the fields of `data` that must be there."""

    kind: EventClass
    direction: Direction = Direction.FACT
    required: tuple[str, ...] = ()


def _usage(*required: str) -> EventType:
    return EventType(EventClass.USAGE, Direction.INBOUND, required)


def _touch(direction: Direction, *required: str) -> EventType:
    return EventType(EventClass.TOUCHPOINT, direction, required)


_IN, _OUT, _BOTH, _FACT = Direction.INBOUND, Direction.OUTBOUND, Direction.MUTUAL, Direction.FACT

EVENT_TYPES: dict[str, EventType] = {
    "usage.feature_used": _usage("feature"),
    "usage.login": _usage(),
    "usage.api_called": _usage(),
    "usage.daily_total": _usage("day", "feature", "quantity"),
    "message.sent": _touch(_OUT),
    "message.received": _touch(_IN),
    "meeting.held": _touch(_BOTH),
    "meeting.missed": _touch(_FACT),
    "meeting.cancelled": _touch(_FACT),
    "meeting.scheduled": _touch(_FACT),
    "interview.recorded": _touch(_BOTH),
    "expectation.stated": _touch(_IN),
    "ticket.opened": _touch(_IN, "ticket"),
    "ticket.replied": _touch(_OUT, "ticket"),
    "ticket.escalated": _touch(_IN, "ticket"),
    "ticket.resolved": _touch(_OUT, "ticket"),
    "ticket.reopened": _touch(_IN, "ticket"),
    "survey.answered": _touch(_IN, "instrument", "score"),
    "invoice.issued": _touch(_OUT, "amount", "currency"),
    "payment.received": _touch(_IN, "amount", "currency"),
    "payment.overdue": _touch(_FACT, "amount", "currency"),
    "order.placed": _touch(_IN, "amount", "currency"),
    "order.returned": _touch(_IN, "amount", "currency"),
    "contract.signed": _touch(_BOTH),
    "contract.renewed": _touch(_BOTH),
    "contract.changed": _touch(_FACT),
    "contract.cancelled": _touch(_IN),
    "price.changed": _touch(_FACT),
    "price.change_planned": _touch(_FACT, "effective_at"),
    "terms.change_planned": _touch(_FACT, "effective_at"),
    "promise.made": _touch(_FACT, "promise", "due"),
    "promise.kept": _touch(_FACT, "promise"),
    "promise.broken": _touch(_FACT, "promise"),
    "person.joined": _touch(_FACT, "person"),
    "person.left": _touch(_FACT, "person"),
    "person.role_changed": _touch(_FACT, "person", "role"),
    "person.unreachable": _touch(_FACT, "person"),
    "referral.given": _touch(_IN),
    "outcome.achieved": _touch(_FACT),
    "note.added": _touch(_FACT),
    "delivery.received": _touch(_IN),
    "defect.reported": _touch(_OUT),
    "dispute.opened": _touch(_FACT),
    "dispute.resolved": _touch(_FACT),
    "report.opened": _touch(_IN),
    "question.asked": _touch(_IN),
    "commitment.made": _touch(_IN),
    "absence.recorded": _touch(_FACT),
    "one_to_one.held": _touch(_BOTH),
    "contribution.made": _touch(_IN),
    "mention.published": _touch(_IN),
    "event.attended": _touch(_IN),
    "campaign.sent": _touch(_OUT),
    "campaign.opened": _touch(_IN),
    "review.published": _touch(_IN),
    "event.retracted": EventType(EventClass.CORRECTION, required=("id",)),
    "event.corrected": EventType(EventClass.CORRECTION, required=("id", "replacement")),
    "relationship.updated": EventType(EventClass.DIRECTORY),
}

GENERIC = EventType(EventClass.TOUCHPOINT, Direction.FACT)  # what an unknown type is taken for


def event_type(name: str) -> EventType:
    """The contract of a type; an unknown one is a generic touchpoint."""
    return EVENT_TYPES.get(name, GENERIC)


class Interaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One accepted event as it travels on `rapport.interactions` (JSON).

    `time` is the event's own time; the moment of receipt is the record's timestamp. `backfill` marks loaded
    history: it is folded, and raises nothing. `data` stays as it came, so that unknown fields are kept.
    """

    tenant: str
    relationship: str
    id: str
    source: str
    type: str
    time: Millis
    data: msgspec.Raw = msgspec.Raw(b"{}")
    backfill: bool = False


class Clock(msgspec.Struct, frozen=True, gc=False):
    """A clock record on `rapport.interactions`: evaluate what is due in this partition by `now`. Key: CLOCK_KEY."""

    now: Millis


CLOCK_KEY = b"\x00clock"


MAX_NAME = 512
"""The longest id, subject, person, feature...: characters."""

MAX_QUANTITY = 10**12
"""The largest quantity: however many of them add up to a finite number."""

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class UseData(msgspec.Struct, frozen=True, gc=False):
    """`data` of a plain use."""

    feature: _Name = ""
    person: _Name = ""
    quantity: Annotated[float, msgspec.Meta(ge=0, le=MAX_QUANTITY)] = 1.0


class Use(msgspec.Struct, frozen=True, gc=False):
    """An interaction of one of the types in PLAIN_USE, decoded in one go: by far the most of what comes."""

    tenant: str
    relationship: str
    id: str
    source: str
    type: str
    time: Annotated[Millis, msgspec.Meta(ge=0, le=MAX_TIME)]
    data: UseData = UseData()
    backfill: bool = False

    @property
    def feature(self) -> str:
        """What was used; an event without one is of the feature its type names."""
        return self.data.feature or PLAIN_USE[self.type]


PLAIN_USE = {"usage.feature_used": "", "usage.login": "login", "usage.api_called": "api_called"}
"""Types that add to a counter, and the feature of those that need not name one."""


def event_key(source: str, event_id: str) -> str:
    """What makes an event the same event within a tenant (CloudEvents: source and id together).

    A `#` of the source is percent-encoded, so that the first one ends the source.
    """
    if "#" in source or "%" in source:
        source = source.replace("%", "%25").replace("#", "%23")
    return f"{source}#{event_id}"


def segment(part: str) -> str:
    """A text as one segment of an id: its slashes are percent-encoded."""
    return part.replace("%", "%25").replace("/", "%2F")


def relationship_key(tenant: str, relationship: str) -> str:
    """`tenant/relationship`: the key on Kafka and the `_id` in the store. Tenants contain no slash."""
    return f"{tenant}/{relationship}"


JsonObject = dict[str, Any]
