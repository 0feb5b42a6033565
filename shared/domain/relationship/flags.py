"""What rules say: flags raised and cleared, with their reason, numbers and evidence."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shared.domain.contract.events import Millis, segment


class Severity(StrEnum):
    """How urgent a flag is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Why(StrEnum):
    """Why a flag was cleared."""

    ENDED = "ended"  # its condition has ended by itself
    RULE_OFF = "rule_off"  # its rule is off for this relationship
    SETTINGS = "settings"  # other settings apply to the relationship, or the directory says something else of it
    OVER = "relationship_over"  # the relationship has ended
    CORRECTED = "corrected"  # what it rested on was retracted or corrected
    ROOM = "room"  # too many flags of events stood at once


TAKEN_AWAY = frozenset({Why.RULE_OFF, Why.SETTINGS, Why.OVER, Why.CORRECTED})
"""What clears a flag although nothing has changed about what it says; when that is undone, it stands again."""


def flag_key(rule: str, subject: str) -> str:
    """The key of a flag among a relationship's standing ones."""
    return f"{rule}/{subject}" if subject else rule


class Counter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Evidence from usage: one cell of the counters. `day` is YYYY-MM-DD; empty `person` means everybody.

    `share` is the part of it that counted: the window of a rule may begin within the day.
    """

    feature: str
    day: str
    count: float
    person: str = ""
    share: float = 1.0


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where it can be seen: event ids (`source#id`) for touchpoints, counters for usage."""

    events: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()


class Cause(msgspec.Struct, frozen=True):
    """The record of the log that brought a verdict about: verdicts of one relationship are ordered by it.

    `step` counts the verdicts brought about by the same record, from 0.
    """

    incarnation: str
    partition: int
    position: int
    step: int = 0


class FlagChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A flag was raised (`raised`) or cleared (not `raised`, and `why`), canonical at `moment`.

    `suppressed` verdicts belong to loaded history: they stand on the relationship, and no alert comes of them.
    """

    rule: str
    subject: str
    raised: bool
    moment: Millis
    cause: Cause
    severity: Severity = Severity.WARNING
    reason: str = ""
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    evidence: Evidence = Evidence()
    suppressed: bool = False
    why: Why = Why.ENDED


class StandingFlag(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verdict that stands since `since`, in its latest words; with `until`, it clears by itself then.

    `cause` is the record that brought these words about.
    """

    rule: str
    subject: str
    severity: Severity
    since: Millis
    reason: str = ""
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    evidence: Evidence = Evidence()
    suppressed: bool = False
    until: Millis = 0
    cause: Cause = Cause("", -1, -1)


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """What scoring says of one relationship after a flush: its scores now, and the flags that changed.

    `standing`: flags that stand on in other words than before. Delivered at least once; receivers apply what is said of
    a flag only if its cause is later than the last one applied.
    """

    tenant: str
    relationship: str
    name: str
    owner: str
    kind: str
    segment: str
    at: Millis
    cause: Cause
    ri: float | None = None
    rv: float | None = None
    band: str = "unknown"
    changes: tuple[FlagChange, ...] = ()
    standing: tuple[StandingFlag, ...] = ()


class UpdateBatch(msgspec.Struct, frozen=True):
    """One record on `rapport.updates`: the updates of one partition and flush. `sent_at`/`received` measure latency."""

    updates: tuple[Update, ...]
    stored_at: Millis
    received: Millis = 0  # receipt of the newest event in it; 0 = none (a clock record)


def fingerprint(tenant: str, relationship: str, rule: str, subject: str = "") -> str:
    """What makes an alert the same alert: `tenant/relationship/rule/subject`, each percent-encoded for slashes."""
    return "/".join(map(segment, (tenant, relationship, rule, subject)))
