"""What rules and scores look at: some rows of a block, each as of a moment, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.columns import Columns
from shared.domain.columns.fact_columns import FACT_COLUMNS
from shared.domain.columns.row import TOTAL_DAYS, TOTALS, USAGE, Row, active_days
from shared.domain.contract.events import DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DIGITS = 6  # decimals of a day's count, and of sums of these: in another order they are the same number
AT_ONCE = 256  # rings that are turned together, so that they stay in a processor's cache
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
        self._one_day = bool(len(rows)) and bool((self.day == self.day[0]).all())  # as after a flush
        self._windows: dict[tuple[int, int], Floats] = {}
        self._totals: dict[int, Floats] = {}
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
        column: Floats = self.columns.facts[self.index, _PLACES[name]]
        return column

    def total(self, which: int, days: int) -> Floats:
        """Daily counts of a total over the last `days` days: shape (rows, days), today first, a day's side by side."""
        known = self._totals.get(which)
        if known is None or known.shape[1] < days:
            known = self._totals[which] = self._total(which, days)
        return known[:, :days]

    def _total(self, which: int, days: int) -> Floats:
        return self._rounded(self._newest_first(*self._places(which), self.day, days))

    def window(self, which: int, days: int) -> Floats:
        """The sum of a total over the last `days` days."""
        known = self._windows.get((which, days))
        if known is None:
            known = self._windows[which, days] = self._window(which, days)
        return known

    def _window(self, which: int, days: int) -> Floats:
        if not self._one_day:
            return self._rounded(self.total(which, days).sum(axis=1))
        found, parts = np.zeros(len(self)), self._slices(days)
        for at, rings in self._rings(which):
            found[at] = sum(rings[:, part].sum(axis=1) for part in parts)
        return self._rounded(found)

    def days_with(self, totals: Sequence[int], days: int) -> Floats:
        """How many of the last `days` days have any of these totals."""
        if not self._one_day:
            return _nonzero([self.total(which, days) for which in totals])
        found, parts = np.zeros(len(self)), self._slices(days)
        for of_each in zip(*map(self._rings, totals), strict=True):
            at = of_each[0][0]
            found[at] = sum(_nonzero([rings[:, part] for _, rings in of_each]) for part in parts)
        return found

    def _slices(self, days: int, length: int = TOTAL_DAYS) -> list[slice]:
        """Where the last days lie in a ring of so many days: up to today, and at its end."""
        today = int(self.day[0]) % length
        recent = slice(max(0, today + 1 - days), today + 1)
        return [recent] if days <= today + 1 else [recent, slice(length + today + 1 - days, length)]

    def _rings(self, which: int) -> Iterator[tuple[slice, Floats]]:
        """A total as it lies in its rings, of some rows at a time."""
        rings, places = self._places(which)
        for at in range(0, len(places), AT_ONCE):
            yield slice(at, at + AT_ONCE), self._rounded(rings.take(places[at : at + AT_ONCE], axis=0))

    def _places(self, which: int) -> tuple[Floats, Ints]:
        """The rings of all totals, and the places among them of this total of each row."""
        return self.columns.totals.reshape(-1, TOTAL_DAYS), self.index * TOTALS + which

    def _rounded(self, counts: Floats) -> Floats:
        return counts if self.columns.whole else counts.round(DIGITS)

    def features(self, positions: Ints, days: int) -> tuple[Ints, Ints, Floats]:
        """Daily counts of all features of the rows at these positions: each one's row, its slot, and (series, days).

        Today is first, and a day's counts lie side by side.
        """
        slots_of = [self.rows[at].slots for at in positions.tolist()]
        position = np.repeat(positions, np.fromiter(map(len, slots_of), np.int64, len(slots_of)))
        slots = np.fromiter(chain.from_iterable(map(dict.values, slots_of)), np.int64, len(position))
        counts = self._newest_first(self.columns.features, slots, self.day[position], days)
        return position, slots, self._rounded(counts)

    def _newest_first(self, rings: Floats, places: Ints, day: Ints, days: int) -> Floats:
        """The last `days` days of the rings at these places, each as of its day: shape (places, days).

        Whatever adds up over days is fastest where a day's counts lie side by side; it is laid out so a few at a time.
        """
        found, length = np.empty((days, len(places))).T, rings.shape[1]
        if not self._one_day:
            found[:] = rings[places[:, None], (day[:, None] - np.arange(days)) % length]
            return found
        parts = self._slices(days, length)
        recent = parts[0].stop - parts[0].start
        for at in range(0, len(places), AT_ONCE):
            ring, some = rings.take(places[at : at + AT_ONCE], axis=0), found[at : at + AT_ONCE]
            for part, where in zip(parts, (slice(0, recent), slice(recent, days)), strict=False):
                some[:, where] = ring[:, part][:, ::-1]
        return found

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
    some = series[0] != 0
    for other in series[1:]:
        some |= other != 0
    found: Floats = some.astype(np.float32) @ np.ones(some.shape[1], np.float32)  # whole numbers: exact in any order
    return found.astype(np.float64)
