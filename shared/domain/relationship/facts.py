"""What the touchpoints of a relationship have left behind, folded one by one in the order of the log."""

from __future__ import annotations

import msgspec

from shared.domain.contract.events import Millis


class Promise(msgspec.Struct, frozen=True, omit_defaults=True):
    """An open promise: `due` is the deadline, `by` is "us" or "them", `event` the key of the event that made it.

    `broken_at` and `broken_by`: when it was broken, in so many words, and the key of the event that says so.
    `backfill`: it came with loaded history.
    """

    due: Millis
    by: str
    made_at: Millis
    event: str
    text: str = ""
    broken_at: Millis = 0
    broken_by: str = ""
    backfill: bool = False

    @property
    def open_of_ours(self) -> bool:
        """Whether we have still to keep it."""
        return self.by != "them" and not self.broken_at


class Survey(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest answer to an instrument (nps, csat, ces, enps, pulse)."""

    score: float
    at: Millis
    event: str
    person: str = ""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person on their side: role ("champion", "admin", …), last inbound touch, and whether they have left."""

    role: str = ""
    last_in: Millis = 0
    last_event: str = ""
    left_at: Millis = 0


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts and latest values; maps are bounded by dropping the oldest (see shared.domain.relationship.fold)."""

    first_touch: Millis = 0
    last_in: Millis = 0
    last_in_event: str = ""
    last_in_person: str = ""
    last_out: Millis = 0
    inbound_days: tuple[int, ...] = ()  # the latest 64 days with an inbound touch, ascending
    promises: dict[str, Promise] = msgspec.field(default_factory=dict)  # open ones by promise id
    settled: dict[str, Millis] = msgspec.field(default_factory=dict)  # promise/ID, ticket/ID → when kept or resolved
    promises_kept: int = 0
    promises_broken: int = 0
    tickets: dict[str, Millis] = msgspec.field(default_factory=dict)  # open ones by ticket id → opened at
    escalations: int = 0
    surveys: dict[str, Survey] = msgspec.field(default_factory=dict)  # by instrument
    payments: int = 0
    payments_overdue: int = 0
    referrals: int = 0
    outcomes: int = 0
    sentiment_sum: float = 0.0
    sentiment_count: int = 0
    people: dict[str, Person] = msgspec.field(default_factory=dict)
