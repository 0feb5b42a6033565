"""A touchpoint: one interaction on the timeline."""

from __future__ import annotations

import msgspec

from shared.domain.contract.declaration import Direction
from shared.domain.contract.events import Interaction, JsonObject, Millis, event_key, segment
from shared.domain.contract.types import event_type
from shared.domain.relationship.fence import Fenced


class Touchpoint(Fenced, omit_defaults=True, kw_only=True):
    """One entry of the timeline (collection `timeline`, `_id` = `tenant/relationship/source#id`, see touchpoint_id).

    `event_position` is that of its own event (`position` moves on when it is retracted or corrected). `retracted`
    entries stay, crossed out; a correction replaces `type`, `time` and `data` and names itself in `corrected_by`. A
    retraction that came before its event leaves an entry without type: the event finds it and does not count.
    """

    tenant: str
    relationship: str
    type: str
    time: Millis
    direction: str = "fact"
    channel: str = ""
    person: str = ""
    data: JsonObject = msgspec.field(default_factory=dict)
    event_position: int = -1
    received: Millis = 0
    backfill: bool = False
    retracted: bool = False
    retracted_by: str = ""
    corrected_by: str = ""

    @property
    def event(self) -> str:
        """The key of its event: `source#id`."""
        return self.id.split("/", 2)[2]

    @property
    def metric(self) -> str | None:
        """The counter it counts in (`in:email`); None for facts, and for what was retracted."""
        if self.retracted or self.direction == Direction.FACT:
            return None
        return f"{self.direction}:{self.channel}"


def touchpoint_id(tenant: str, relationship: str, event_key: str) -> str:
    """The `_id` of a timeline entry: an event counts once in its relationship.

    Of the relationship the slashes are percent-encoded: "a/b" with an event of "c" is not "a" with one of "b/c".
    """
    return f"{tenant}/{segment(relationship)}/{event_key}"


def made_of(event: Interaction, data: JsonObject) -> Touchpoint:
    """The timeline entry of an accepted event, not yet placed in the log."""
    people = data.get("people")
    person = data.get("person") or (people[0] if isinstance(people, list) and people else "")
    return Touchpoint(
        id=touchpoint_id(event.tenant, event.relationship, event_key(event.source, event.id)),
        tenant=event.tenant,
        relationship=event.relationship,
        type=event.type,
        time=event.time,
        direction=event_type(event.type).direction.value,
        channel=str(data.get("channel") or event.type.split(".")[0]),
        person=str(person),
        data=data,
        backfill=event.backfill,
    )
