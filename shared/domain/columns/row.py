"""A row: one relationship as the block holds it, and how far back its series reach."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from shared.domain.columns.counters import DayCells, MonthCells
from shared.domain.columns.id_chunks import IdBatch, IdChunk
from shared.domain.columns.months import USE
from shared.domain.contract.days import Day, day_of, month_of
from shared.domain.contract.events import Millis
from shared.domain.relationship.cadence import Cadence, cadence
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint

TOTAL_DAYS = 400  # a year and a month: the 365-day window, with room for days that come early
TOTALS = 3  # that every row has:
USAGE, INBOUND, OUTBOUND = range(TOTALS)

NEVER: Day = -1_000_000  # a day before all others

Scored = tuple[float | None, float | None]
"""RI and RV of a day."""


class Entry(NamedTuple):
    """What one event adds to a counter."""

    metric: str
    person: str
    day: Day
    amount: float


class Deadline(NamedTuple):
    """Of an open promise of ours: when it is warned of (0 = not), when it is broken, and forgotten (0 = not)."""

    promise: str
    early: Millis
    broken: Millis
    forgotten: Millis


class Row:
    """One relationship's place in the block."""

    __slots__ = (
        "active",
        "cadence",
        "cells",
        "changed",
        "chunks",
        "days",
        "folded",
        "ids_log",
        "index",
        "known_people",
        "new_ids",
        "pending",
        "people",
        "phase",
        "promises",
        "published",
        "slots",
        "state",
        "stored",
        "stored_rev",
        "tag",
        "unknown_months",
        "unrecorded",
        "watched",
        "weight",
    )

    def __init__(self, index: int, tag: int, state: RelationshipState, phase: Millis = 0) -> None:
        self.index = index
        self.tag = tag  # among the event ids of the block
        self.state = state
        self.phase = phase  # how far into the hour its canonical moments lie
        self.cadence: tuple[tuple[Day, ...], bool, Cadence] = (), False, Cadence()  # of these days and this calendar
        self.stored_rev = state.rev
        self.stored: tuple[object, ...] = ()  # the values of the state as they are stored, once that is known
        self.folded = -1  # its documents as they were loaded hold records of the present log up to this position
        self.slots: dict[str, int] = {}  # feature → its series
        self.cells: dict[str, MonthCells] = {}  # month → counters
        self.days: dict[Day, DayCells] = {}  # days whose counters are at hand
        self.people: dict[str, Day] = {}  # person → last day with usage
        self.active: dict[str, Day] | None = None  # the last active day of everybody who has not left, once asked for
        self.known_people: object = None  # the people among its facts of whom that is so
        self.promises: tuple[object, float, bool, list[Deadline]] = None, 0, False, []  # ours among these, and when
        self.chunks: list[IdChunk] = []  # of its event ids: the last one, and those that are not stored yet
        self.new_ids: list[IdBatch] = []  # event ids that are not stored yet, in pieces
        self.ids_log = Fence()  # the log that they were read from
        self.pending: dict[str, Touchpoint] = {}  # timeline entries new or changed since the last flush, by id
        self.published = 0  # changes of its flags caused before this position of the present log need not be told again
        self.unknown_months = False  # months that are not in memory may be in the store
        self.unrecorded: dict[Day, Scored] = {}  # scores of these days, which are in the state and not in their months
        self.changed = False  # the state differs from what is stored
        self.watched: tuple[object, int] = (None, 0)  # of these flags: the triggers that may end one
        self.weight = 0  # about the memory it takes: bytes

    @property
    def unsaved(self) -> bool:
        """Whether it holds anything that is not stored."""
        changed = self.changed or bool(self.pending) or bool(self.new_ids)
        changed = changed or any(month.changed for month in self.cells.values())
        return changed or any(chunk.new for chunk in self.chunks)

    def month(self, name: str) -> MonthCells:
        """Its counters of this month, at hand to count in."""
        month = self.cells.get(name)
        if month is None:
            month = self.cells[name] = MonthCells(name)
        elif month.packed is not None:
            month.unpack()
        return month

    def record_scores(self, day: Day, scores: Scored) -> None:
        """Keep the scores of a day in its month, which may stay sealed."""
        name = month_of(day)
        month = self.cells.get(name) or self.month(name)
        month.record_scores(day, scores)
        self.unrecorded.pop(day, None)

    def saw(self, person: str, day: Day) -> None:
        """Somebody has used something on a later day than ever before."""
        self.people[person] = day
        if self.active is not None:
            if person in self.active:
                self.active[person] = max(self.active[person], day)
            else:
                self.active = None  # somebody new, or who has left

    def present_cadence(self) -> Cadence:
        """How often they get in touch, learned anew only where there is something new to learn from."""
        days, everyday, _ = self.cadence
        now, calendar = self.state.facts.inbound_days, self.state.directory.everyday
        if days is not now or everyday != calendar:
            self.cadence = now, calendar, cadence(now, calendar)
        return self.cadence[2]


def totals_of(metric: str) -> tuple[int, ...]:
    """The totals that a metric counts into."""
    if metric.startswith(USE):
        return (USAGE,)
    if metric.startswith("in:"):
        return (INBOUND,)
    if metric.startswith("out:"):
        return (OUTBOUND,)
    return (INBOUND, OUTBOUND)


def active_days(row: Row) -> Collection[Day]:
    """The last day with usage or an inbound touch of everybody who has not left."""
    facts = row.state.facts.people
    if row.active is None or row.known_people is not facts:
        last = dict(row.people)
        for name, person in facts.items():
            if person.left_at:
                last.pop(name, None)
            else:
                last[name] = max(last.get(name, NEVER), day_of(person.last_in))
        row.active, row.known_people = last, facts
    return row.active.values()
