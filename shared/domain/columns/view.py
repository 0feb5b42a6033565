"""What rules and scores look at: some rows of a block, each as of a moment, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.columns import Columns
from shared.domain.columns.fact_columns import FACT_COLUMNS
from shared.domain.columns.row import TOTAL_DAYS, TOTALS, USAGE, Row, active_days
from shared.domain.columns.series import Series
from shared.domain.contract.events import DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PLACES = {name: place for place, name in enumerate(FACT_COLUMNS)}


class View:
    """Some rows of a block, each as of a moment. All arrays have one entry (or line) a row, in the given order."""

    def __init__(self, columns: Columns, rows: Sequence[Row], at: Ints, index: Ints | None = None) -> None:
        """`index`: the places of the rows, where they are known."""
        self.columns = columns
        self.rows = rows
        self.at = at
        self.day = at // DAY
        self.elapsed: Floats = (at % DAY) / DAY  # the share of the present day that has passed
        self.index = np.array([row.index for row in rows], np.int64) if index is None else index
        self.phase = columns.phases[self.index]
        self._facts: Floats | None = None  # shape (facts, rows)
        self._windows: dict[tuple[int, int], Floats] = {}
        self._people: tuple[Ints, Ints] | None = None  # position and last active day of everybody

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Ints) -> View:
        """Some of these rows."""
        if len(positions) == len(self):
            return self
        rows = [self.rows[at] for at in positions.tolist()]
        return View(self.columns, rows, self.at[positions], self.index[positions])

    def next_day(self) -> Ints:
        """The beginning of the next day, each relationship's at its own phase."""
        return ((self.at - self.phase) // DAY + 1) * DAY + self.phase

    def fact(self, name: str) -> Floats:
        """A column of facts by name; NaN where there is no evidence."""
        if self._facts is None:
            self._facts = np.ascontiguousarray(self.columns.facts.take(self.index, axis=0).T)
        column: Floats = self._facts[_PLACES[name]]
        return column

    def series(self, total: int) -> Series:
        """The daily counts of a total."""
        return Series(self.columns.totals.reshape(-1, TOTAL_DAYS), self.index * TOTALS + total, self.day)

    def window(self, total: int, days: int) -> Floats:
        """The sum of a total over the last `days` days."""
        known = self._windows.get((total, days))
        if known is None:
            known = self._windows[total, days] = self.series(total).sums(days)
        return known

    def features(self, positions: Ints) -> tuple[Ints, Ints, Series]:
        """All features of the rows at these positions: each one's row, its slot, and its daily counts."""
        slots_of = [self.rows[at].slots for at in positions.tolist()]
        position = np.repeat(positions, np.fromiter(map(len, slots_of), np.int64, len(slots_of)))
        slots = np.fromiter(chain.from_iterable(map(dict.values, slots_of)), np.int64, len(position))
        return position, slots, Series(self.columns.features, slots, self.day[position])

    def feature_name(self, position: int, slot: int) -> str:
        """The feature of a row that has this slot."""
        return next(name for name, place in self.rows[position].slots.items() if place == slot)

    def daily(self, position: int, feature: str, days: int) -> Floats:
        """Daily uses of a feature ("" for all) of one row over the last `days` days, today first."""
        one = np.array([position])
        series = self.series(USAGE).take(one)
        if feature:
            slot = np.array([self.rows[position].slots[feature]])
            series = Series(self.columns.features, slot, self.day[one])
        counts: Floats = series.counts(days)[0]
        return counts

    def people(self, days: int) -> Ints:
        """Distinct people with usage or inbound touches in the last `days` days, who have not left."""
        if self._people is None:
            known = [active_days(row) for row in self.rows]
            position = np.repeat(np.arange(len(known)), [len(one) for one in known])
            self._people = position, np.fromiter(chain.from_iterable(known), np.int64, len(position))
        position, last = self._people
        counted = position[last > self.day[position] - days]
        return np.bincount(counted, minlength=len(self.rows)).astype(np.int64)
