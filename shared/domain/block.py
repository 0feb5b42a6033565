"""The block: many relationships held as columns, the working memory of scoring, rescoring and backtest.

A row is one relationship. What changes with every event or is evaluated at array speed lies in numpy columns (series
of daily counts in rings, facts as numbers); what changes seldom (directory, facts, flags) in the row's head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.counters import MonthCells
from shared.domain.dedup import SeenIds
from shared.domain.events import DAY
from shared.domain.factcolumns import FACT_COLUMNS, fact_values
from shared.domain.fence import Fence
from shared.domain.relationship import Head
from shared.domain.touchpoints import Touchpoint
from shared.domain.usage import USE, Day, Month, day_of, month_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOTAL_DAYS = 400  # a year and a month: the 365-day window, with room for days that come early
USAGE, INBOUND, OUTBOUND = range(3)  # the totals every row has

_NEVER = -1_000_000  # a day before all others
_DIGITS = 6  # decimals of a day's count: sums of the same amounts in another order are the same number


class Entry(NamedTuple):
    """What one event adds to a counter."""

    metric: str
    person: str
    day: Day
    amount: float


class Row:
    """One relationship's place in the block."""

    __slots__ = (
        "cells",
        "changed",
        "head",
        "horizon",
        "ids",
        "index",
        "pending",
        "people",
        "republish",
        "slots",
        "stored",
        "stored_rev",
        "touched_at",
        "unknown_months",
    )

    def __init__(self, index: int, head: Head) -> None:
        self.index = index
        self.head = head
        self.stored_rev = head.rev
        self.stored: dict[str, object] = {}  # the head's fields as they are stored, by name, once that is known
        self.horizon: Day = _NEVER  # the newest day its series reach
        self.slots: dict[str, int] = {}  # feature → its series
        self.cells: dict[str, MonthCells] = {}  # month → counters
        self.people: dict[str, Day] = {}  # person → last day with usage
        self.ids = SeenIds()  # event ids that have counted already
        self.pending: dict[str, Touchpoint] = {}  # timeline entries new or changed since the last flush, by id
        self.unknown_months = False  # months before those loaded may be in the store
        self.changed = False  # the head differs from what is stored
        self.republish = False  # a redelivered record touched it: say again what may not have been heard
        self.touched_at = 0  # the block's tick of its last use, for eviction


class Block:
    """Rows by id, their series, and the numbers of their facts. `feature_days`: how far back features must reach."""

    def __init__(self, feature_days: int, capacity: int = 64) -> None:
        self.feature_days = feature_days
        self.rows: dict[str, Row] = {}
        self.totals: Floats = np.zeros((capacity, 3, TOTAL_DAYS))
        self.facts: Floats = np.full((capacity, len(FACT_COLUMNS)), np.nan)
        self.features: Floats = np.zeros((capacity * 4, feature_days))
        self._free_rows = list(range(capacity - 1, -1, -1))
        self._free_slots = list(range(capacity * 4 - 1, -1, -1))
        self._tick = 0

    # --- rows come and go ---------------------------------------------------------------------------------------

    def add(self, head: Head, months: Iterable[Month] = (), *, unknown_months: bool = False) -> Row:
        """Take a relationship in: its head and the month documents that reach back over the series."""
        if not self._free_rows:
            self._grow_rows()
        row = Row(self._free_rows.pop(), head)
        row.unknown_months = unknown_months
        self.totals[row.index] = 0
        self.facts[row.index] = fact_values(head)
        self.rows[head.id] = row
        self.touch(row)
        for month in months:
            self.add_month(row, month)
        return row

    def add_month(self, row: Row, month: Month) -> None:
        """Take one more month of counters in; the row must not hold it yet."""
        cells = MonthCells.load(month)
        row.cells[month.month] = cells
        for day, metric, person, amount in cells.items():
            self._record(row, metric, person, day, amount)

    def evict(self, row: Row) -> None:
        """Let a row go; whoever calls has stored it, or means to forget it."""
        del self.rows[row.head.id]
        self._free_rows.append(row.index)
        self._free_slots.extend(row.slots.values())

    def touch(self, row: Row) -> None:
        """Note a use, for eviction of what was used longest ago."""
        self._tick += 1
        row.touched_at = self._tick

    def oldest(self, keep: int) -> list[Row]:
        """Rows beyond `keep`, least recently used first, that hold nothing unsaved."""
        surplus = len(self.rows) - keep
        if surplus <= 0:
            return []
        idle = [row for row in self.rows.values() if not row.changed and not row.pending]
        return sorted(idle, key=lambda row: row.touched_at)[:surplus]

    def refresh_facts(self, row: Row) -> None:
        """The row's facts have changed: renew their numbers."""
        self.facts[row.index] = fact_values(row.head)

    def _grow_rows(self) -> None:
        had = len(self.totals)
        self.totals = np.concatenate([self.totals, np.zeros_like(self.totals)])
        self.facts = np.concatenate([self.facts, np.full_like(self.facts, np.nan)])
        self._free_rows.extend(range(2 * had - 1, had - 1, -1))

    # --- counting -----------------------------------------------------------------------------------------------

    def count(self, row: Row, entries: Sequence[Entry], fence: Fence, *, absolute: bool = False) -> None:
        """Add amounts to days' counters (or set them), except in months that have been folded that far already.

        An absolute total without a person replaces whatever was counted for the metric on that day. Beyond the bounds
        of a month it is not known whose counter it would replace: there it adds.
        """
        months = [self._month(row, month_of(entry.day)) for entry in entries]
        admitted = [month.admits(fence) for month in months]
        for entry, month, fresh in zip(entries, months, admitted, strict=True):
            if not fresh:
                continue
            month.fence = fence
            metric, person = month.kept(entry.day, entry.metric, entry.person)
            known = (metric, person) == (entry.metric, entry.person)
            fold = month.set_total if absolute and known else month.add
            for who, delta in fold(entry.day, metric, person, entry.amount):
                self._record(row, metric, who, entry.day, delta)

    def _month(self, row: Row, name: str) -> MonthCells:
        month = row.cells.get(name)
        if month is None:
            month = row.cells[name] = MonthCells(name)
        return month

    def _record(self, row: Row, metric: str, person: str, day: Day, delta: float) -> None:
        if day > row.horizon:
            self.advance(row, day)
        age = row.horizon - day
        usage = metric.startswith(USE)
        if usage and age < self.feature_days:
            slot = self._slot(row, metric[len(USE) :])  # first, for it may put a larger array in place
            self.features[slot, day % self.feature_days] += delta
        if age < TOTAL_DAYS:
            for total in _totals_of(metric):
                self.totals[row.index, total, day % TOTAL_DAYS] += delta
        if usage and person:
            self._saw(row, person, day, delta)

    def _saw(self, row: Row, person: str, day: Day, delta: float) -> None:
        last = row.people.get(person, _NEVER)
        if delta > 0 and day > last:
            row.people[person] = day
        elif delta < 0 and day == last:
            row.people[person] = max(
                (day for month in row.cells.values() for day in month.days_with(person)), default=_NEVER
            )

    def _slot(self, row: Row, feature: str) -> int:
        slot = row.slots.get(feature)
        if slot is None:
            if not self._free_slots:
                had = len(self.features)
                self.features = np.concatenate([self.features, np.zeros_like(self.features)])
                self._free_slots.extend(range(2 * had - 1, had - 1, -1))
            slot = row.slots[feature] = self._free_slots.pop()
            self.features[slot] = 0
        return slot

    def advance(self, row: Row, day: Day) -> None:
        """Let the row's series reach `day`: the days in between had nothing so far."""
        step = day - row.horizon
        if step <= 0:
            return
        days = np.arange(day - min(step, TOTAL_DAYS) + 1, day + 1)
        self.totals[row.index][:, days % TOTAL_DAYS] = 0
        if row.slots:
            slots = np.fromiter(row.slots.values(), np.int64)
            recent = days[-self.feature_days :]
            self.features[slots[:, None], recent[None, :] % self.feature_days] = 0
        row.horizon = day

    # --- what rules and scores look at -----------------------------------------------------------------------------

    def view(self, rows: Sequence[Row], at: Sequence[int]) -> View:
        """These rows as of these moments (ms, one a row, none before the row's last evaluation)."""
        for row, moment in zip(rows, at, strict=True):
            self.advance(row, day_of(moment))
        return View(self, rows, np.asarray(at, np.int64))


def _totals_of(metric: str) -> tuple[int, ...]:
    if metric.startswith(USE):
        return (USAGE,)
    if metric.startswith("in:"):
        return (INBOUND,)
    if metric.startswith("out:"):
        return (OUTBOUND,)
    return (INBOUND, OUTBOUND)


class View:
    """Some rows of a block, each as of a moment. All arrays have one entry (or line) a row, in the given order."""

    def __init__(self, block: Block, rows: Sequence[Row], at: Ints) -> None:
        self.block = block
        self.rows = rows
        self.at = at
        self.day = at // DAY
        self.elapsed: Floats = (at % DAY) / DAY  # the share of the present day that has passed
        self.index = np.fromiter((row.index for row in rows), np.int64, len(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def fact(self, name: str) -> Floats:
        """A column of facts by name; NaN where there is no evidence."""
        column: Floats = self.block.facts[self.index, FACT_COLUMNS.index(name)]
        return column

    def total(self, which: int, days: int) -> Floats:
        """Daily counts of a total over the last `days` days: shape (rows, days), today first."""
        columns = (self.day[:, None] - np.arange(days)[None, :]) % TOTAL_DAYS
        counts: Floats = self.block.totals[self.index[:, None], which, columns].round(_DIGITS)
        return counts

    def features(self, days: int) -> tuple[Ints, list[str], Floats]:
        """Daily counts of features used in these days: the position of their row, their names, and (series, days)."""
        found = [(at, name, slot) for at, row in enumerate(self.rows) for name, slot in row.slots.items()]
        position = np.fromiter((at for at, _, _ in found), np.int64, len(found))
        slots = np.fromiter((slot for _, _, slot in found), np.int64, len(found))
        columns = (self.day[position][:, None] - np.arange(days)[None, :]) % self.block.feature_days
        counts = self.block.features[slots[:, None], columns].round(_DIGITS)
        used = np.flatnonzero(counts.any(axis=1))
        return position[used], [found[at][1] for at in used], counts[used]

    def people(self, days: int) -> Ints:
        """Distinct people with usage or inbound touches in the last `days` days."""
        return np.fromiter(
            (len(active_people(row, int(day) - days)) for row, day in zip(self.rows, self.day, strict=True)),
            np.int64,
            len(self.rows),
        )


def active_people(row: Row, after: Day) -> set[str]:
    """People with usage or inbound touches later than day `after`, who have not left."""
    facts = row.head.facts
    active = {name for name, day in row.people.items() if day > after}
    active.update(name for name, person in facts.people.items() if day_of(person.last_in) > after)
    return {name for name in active if name not in facts.people or not facts.people[name].left_at}
