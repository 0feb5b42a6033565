"""What is planned for an account: events with their moments, before they become CloudEvents."""

from __future__ import annotations

import msgspec

from shared.domain.contract.events import JsonObject, Millis
from shared.load.outgoing import Outgoing, encode_event

SOURCE = "rapport-simulator"


class Planned(msgspec.Struct, frozen=True):
    """One event to be: `key` tells it apart within its account, and is the same whenever it is planned anew."""

    at: Millis
    account: str
    type: str
    key: str
    data: JsonObject


def outgoing(planned: Planned, backfill: bool) -> Outgoing:
    """As a CloudEvent."""
    return encode_event(
        line=0,
        id=f"{planned.account}/{planned.key}",
        source=SOURCE,
        type=planned.type,
        subject=planned.account,
        time=planned.at,
        data=planned.data,
        backfill=backfill,
    )
