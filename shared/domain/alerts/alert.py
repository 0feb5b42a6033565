"""An alert as it is stored, shown and delivered."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shared.domain.contract.events import Millis
from shared.domain.relationship.flags import Cause, Evidence, Severity


class AlertState(StrEnum):
    """open → acknowledged → resolved; a resolved alert that fires again is open once more, in a new episode."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AlertEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line in the alert's own timeline (`what` as in the lifecycle), and the version of the alert it made.

    `key` is the idempotency key of a comment, so that it is not made twice; `why` is of what was cleared
    (relationship.flags.Why).
    """

    at: Millis
    what: str
    who: str = ""
    text: str = ""
    version: int = 0
    key: str = ""
    why: str = ""


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """The current alert of a fingerprint (collection `alerts`; a closed episode moves to `fingerprint/episode`).

    Writers compare and set on `version`. `cause` is the last verdict applied. `received` is the receipt of the event
    that raised it (0: a due moment).
    """

    id: str
    tenant: str
    relationship: str
    name: str
    owner: str
    rule: str
    subject: str
    severity: Severity
    state: AlertState
    reason: str
    opened_at: Millis
    moment: Millis
    updated_at: Millis
    cause: Cause
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    evidence: Evidence = Evidence()
    advice: tuple[str, ...] = ()
    episode: int = 1
    kind: str = ""
    segment: str = ""
    acknowledged_at: Millis = 0
    acknowledged_by: str = ""
    resolved_at: Millis = 0
    resolved_by: str = ""  # "rapport" when its flag was cleared
    timeline: tuple[AlertEntry, ...] = ()
    version: int = 1
    published_version: int = 0
    received: Millis = 0
