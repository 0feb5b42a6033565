"""A touchpoint: one interaction on the timeline."""

from __future__ import annotations

import msgspec

from shared.domain.events import JsonObject, Millis
from shared.domain.fence import Fenced


class Touchpoint(Fenced, omit_defaults=True, kw_only=True):
    """One entry of the timeline (collection `timeline`, `_id` = `tenant/relationship/source#id`).

    `position` is the offset of its own event (`offset` moves on when it is retracted or corrected). `retracted` entries
    stay, crossed out; a correction replaces `type`, `time` and `data` and names itself in `corrected_by`. A retraction
    that came before its event leaves an entry without type, so that the event finds it and does not count.
    """

    tenant: str
    relationship: str
    type: str
    time: Millis
    direction: str = "fact"
    channel: str = ""
    person: str = ""
    data: JsonObject = msgspec.field(default_factory=dict)
    position: int = -1
    received: Millis = 0
    backfill: bool = False
    retracted: bool = False
    retracted_by: str = ""
    corrected_by: str = ""


def touchpoint_id(tenant: str, relationship: str, event_key: str) -> str:
    """The `_id` of a timeline entry: an event counts once in its relationship."""
    return f"{tenant}/{relationship}/{event_key}"
