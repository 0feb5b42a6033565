"""What rules and scores look at: some rows of a block, each as of a moment, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.columns import Columns
from shared.domain.columns.fact_columns import FACT_COLUMNS
from shared.domain.columns.row import TOTAL_DAYS, USAGE, Row, active_days
from shared.domain.contract.events import DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DIGITS = 6  # decimals of a day's count, and of sums of these: in another order they are the same number
_PLACES = {name: place for place, name in enumerate(FACT_COLUMNS)}


class View:
    """Some rows of a block, each as of a moment. All arrays have one entry (or line) a row, in the given order."""

    def __init__(self, columns: Columns, rows: Sequence[Row], at: Ints) -> None:
        self.columns = columns
        self.rows = rows
        self.at = at
        self.day = at // DAY
        self.elapsed: Floats = (at % DAY) / DAY  # the share of the present day that has passed
        self.index = np.fromiter((row.index for row in rows), np.int64, len(rows))
        self.phase = np.fromiter((row.phase for row in rows), np.int64, len(rows))
        self._one_day = bool(len(rows)) and bool((self.day == self.day[0]).all())  # as after a flush
        self._rings: dict[int, Floats] = {}
        self._windows: dict[tuple[int, int], Floats] = {}
        self._totals: dict[int, Floats] = {}
        self._people: tuple[Ints, Ints] | None = None  # position and last active day of everybody

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Ints) -> View:
        """Some of these rows."""
        if len(positions) == len(self):
            return self
        part = View(self.columns, [self.rows[at] for at in positions.tolist()], self.at[positions])
        return part

    def next_day(self) -> Ints:
        """The beginning of the next day, each relationship's at its own phase."""
        return ((self.at - self.phase) // DAY + 1) * DAY + self.phase

    def fact(self, name: str) -> Floats:
        """A column of facts by name; NaN where there is no evidence."""
        column: Floats = self.columns.facts[self.index, _PLACES[name]]
        return column

    def total(self, which: int, days: int) -> Floats:
        """Daily counts of a total over the last `days` days: shape (rows, days), today first."""
        known = self._totals.get(which)
        if known is None or known.shape[1] < days:
            known = self._totals[which] = self._total(which, days)
        return known[:, :days]

    def _total(self, which: int, days: int) -> Floats:
        back = np.arange(days)
        if self._one_day:  # no index a cell
            return self._ring(which)[:, (self.day[0] - back) % TOTAL_DAYS]
        columns = (self.day[:, None] - back[None, :]) % TOTAL_DAYS
        return self._rounded(self.columns.totals[self.index[:, None], which, columns])

    def window(self, which: int, days: int) -> Floats:
        """The sum of a total over the last `days` days."""
        known = self._windows.get((which, days))
        if known is None:
            known = self._windows[which, days] = self._window(which, days)
        return known

    def _window(self, which: int, days: int) -> Floats:
        if not self._one_day:
            return self._rounded(self.total(which, days).sum(axis=1))
        ring, (first, rest) = self._ring(which), self._slices(days)
        return self._rounded(ring[:, first].sum(axis=1) + ring[:, rest].sum(axis=1))

    def days_with(self, totals: Sequence[int], days: int) -> Floats:
        """How many of the last `days` days have any of these totals."""
        if not self._one_day:
            return _nonzero([self.total(which, days) for which in totals])
        rings, (first, rest) = [self._ring(which) for which in totals], self._slices(days)
        return _nonzero([ring[:, first] for ring in rings]) + _nonzero([ring[:, rest] for ring in rings])

    def _slices(self, days: int) -> tuple[slice, slice]:
        """Where the last days lie in a ring: up to today, and at its end."""
        today = int(self.day[0]) % TOTAL_DAYS
        return slice(max(0, today + 1 - days), today + 1), slice(TOTAL_DAYS + min(0, today + 1 - days), TOTAL_DAYS)

    def _ring(self, which: int) -> Floats:
        """A total as it lies in its ring."""
        known = self._rings.get(which)
        if known is None:
            known = self._rings[which] = self._rounded(self.columns.totals[self.index, which])
        return known

    def _rounded(self, counts: Floats) -> Floats:
        return counts if self.columns.whole else counts.round(DIGITS)

    def features(self, positions: Ints, days: int) -> tuple[Ints, Ints, Floats]:
        """Daily counts of all features of the rows at these positions: each one's row, its slot, and (series, days)."""
        slots_of = [self.rows[at].slots for at in positions.tolist()]
        position = np.repeat(positions, np.fromiter(map(len, slots_of), np.int64, len(slots_of)))
        slots = np.fromiter(chain.from_iterable(map(dict.values, slots_of)), np.int64, len(position))
        reach = self.columns.feature_days
        if self._one_day:
            counts = self.columns.features[slots][:, (self.day[0] - np.arange(days)) % reach]
        else:
            columns = (self.day[position][:, None] - np.arange(days)[None, :]) % reach
            counts = self.columns.features[slots[:, None], columns]
        return position, slots, self._rounded(counts)

    def feature_name(self, position: int, slot: int) -> str:
        """The feature of a row that has this slot."""
        return next(name for name, place in self.rows[position].slots.items() if place == slot)

    def daily(self, position: int, feature: str, days: int) -> Floats:
        """Daily uses of a feature ("" for all) of one row over the last `days` days, today first."""
        if not feature:
            of_all: Floats = self.total(USAGE, days)[position]
            return of_all
        columns = (self.day[position] - np.arange(days)) % self.columns.feature_days
        counts: Floats = self.columns.features[self.rows[position].slots[feature], columns].round(DIGITS)
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


def _nonzero(series: Sequence[Floats]) -> Floats:
    """For each row, on how many days any of its series has something."""
    found: Floats = np.count_nonzero(sum(series), axis=1).astype(np.float64)
    return found
