"""A relationship as it is stored and shown: directory, clock, facts, scores and standing flags."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from shared.domain.contract.calendar import EVERYDAY
from shared.domain.contract.events import Millis
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.fence import Fenced
from shared.domain.relationship.flags import FlagChange, StandingFlag


class Kind(StrEnum):
    """Stakeholder kinds; each has its own weights."""

    CUSTOMER = "customer"
    PARTNER = "partner"
    SUPPLIER = "supplier"
    EMPLOYEE = "employee"
    INVESTOR = "investor"
    COMMUNITY = "community"


class Band(StrEnum):
    """Red 0-50, yellow 51-75, green 76-100; unknown when there is no evidence at all."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    UNKNOWN = "unknown"


class Directory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `relationship.updated` says of it; `at` is the time of the latest word, `said_at` of each field's.

    `said_at` holds a custom field as `custom.NAME`.
    """

    name: str = ""
    kind: str = Kind.CUSTOMER
    type: str = ""  # the company's own relationship type: "partner", "bff", ...
    segment: str = ""
    tier: str = ""
    owner: str = ""
    stage: str = ""
    status: str = ""
    parent: str = ""
    seats: int = 0
    renewal_date: str = ""
    domains: tuple[str, ...] = ()
    custom: dict[str, Any] = msgspec.field(default_factory=dict)
    at: Millis = 0
    said_at: dict[str, Millis] = msgspec.field(default_factory=dict)

    @property
    def everyday(self) -> bool:
        """Whether its calendar has no weekends."""
        return bool(self.custom.get("calendar") == EVERYDAY)


class Factor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One factor in [0, 1], or None where there is no evidence; confidence in [0, 1]; the reason in words."""

    value: float | None = None
    confidence: float = 0.0
    reason: str = ""
    inputs: dict[str, float] = msgspec.field(default_factory=dict)


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """A score: raw product, index 0-100 (None without evidence), band and the factors it is made of by name."""

    raw: float | None = None
    index: float | None = None
    band: Band = Band.UNKNOWN
    factors: dict[str, Factor] = msgspec.field(default_factory=dict)


class Scores(msgspec.Struct, frozen=True, omit_defaults=True):
    """Relationship Intelligence and Relationship Value at a moment, and the version of the weights."""

    ri: Score = Score()
    rv: Score = Score()
    at: Millis = 0
    weights: str = "1"


class Windows(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts over the last 7, 30, 90 and 365 days of event time, in this order."""

    usage: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    inbound: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    outbound: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    people: tuple[int, int, int, int] = (0, 0, 0, 0)


class RelationshipState(Fenced, omit_defaults=True, kw_only=True):
    """The state document of one relationship (collection `relationships`).

    `id` is `tenant/relationship`. `facts` is what the touchpoints have left behind;
    `flags` are the verdicts that stand, by `rule` or `rule/subject`; `changes` the latest flag changes, newest last.
    """

    id: str
    tenant: str
    relationship: str
    directory: Directory = Directory()
    clock: Millis = 0
    next_due_at: Millis = 0  # 0 = never
    due: dict[str, Millis] = msgspec.field(default_factory=dict)  # rule (or "scores") → when it is to be run next
    triggered: int = 0  # what has happened since the last canonical evaluation (rules.declaration.Trigger)
    judged_by: str = ""  # fingerprint of the settings that this evaluation went by (playbooks.resolver.Settings)
    suppressed_until: Millis = 0  # nothing up to this moment raises an alert (loaded history)
    evaluated_at: Millis = 0  # the last canonical evaluation
    first_seen: Millis = 0
    last_seen: Millis = 0
    events: int = 0
    facts: Facts = msgspec.field(default_factory=Facts)
    touched_at: Millis = 0  # the latest receipt of a touchpoint
    disordered: bool = False  # a touchpoint was received before one that lies before it in the log
    windows: Windows = Windows()
    spark: tuple[float, ...] = ()  # activity (usage plus touchpoints) of the last 30 days, oldest first
    scores: Scores = Scores()  # without factors, which follow from the numbers (see scores.explain)
    numbers: tuple[float | None, ...] = ()
    score_days: dict[str, tuple[float | None, float | None]] = msgspec.field(default_factory=dict)  # day → RI, RV
    flags: dict[str, StandingFlag] = msgspec.field(default_factory=dict)
    changes: tuple[FlagChange, ...] = ()


ENDED = frozenset({"churned", "ended", "closed", "lost"})  # statuses for which nothing is watched any more


def has_ended(state: RelationshipState) -> bool:
    """Whether the relationship is over by its status: nothing is watched, and no flag stands."""
    return state.directory.status.lower() in ENDED
