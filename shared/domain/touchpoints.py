"""A touchpoint: one interaction on the timeline."""

from __future__ import annotations

import msgspec

from shared.domain.events import JsonObject, Millis
from shared.domain.fence import Fenced


class Touchpoint(Fenced, omit_defaults=True, kw_only=True):
    """One entry of the timeline (collection `timeline`, `_id` = `tenant/source#id`).

    `retracted` entries stay, crossed out; a correction replaces `type`, `time` and `data` and notes itself in
    `corrected_by`. A retraction that came before its event leaves an entry without type, so the event finds it.
    """

    id: str
    tenant: str
    relationship: str
    type: str
    time: Millis
    direction: str = "fact"
    channel: str = ""
    person: str = ""
    data: JsonObject = msgspec.field(default_factory=dict)
    received: Millis = 0
    backfill: bool = False
    retracted: bool = False
    retracted_by: str = ""
    corrected_by: str = ""


def touchpoint_id(tenant: str, event_key: str) -> str:
    """The `_id` of a timeline entry."""
    return f"{tenant}/{event_key}"
