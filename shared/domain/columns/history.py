"""Counters of stored months, entered into the series of their rows all together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.columns import Columns
from shared.domain.columns.months import METRICS_MOST, USE
from shared.domain.columns.packed import Packed
from shared.domain.columns.row import NEVER, TOTAL_DAYS, TOTALS, USAGE, Row, totals_of
from shared.domain.contract.days import Day

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Found = Sequence[tuple[Row, Day, Packed]]
"""Months with the row that they are of, and their first day."""


class History:
    """Packed months of rows, as columns with an entry a counter. The slow way is `Block.count`."""

    def __init__(self, columns: Columns, found: Found) -> None:
        self._columns = columns
        self._found = found
        packed = [one for _, _, one in found]
        lengths = [len(one.days) for one in packed]
        self._month = np.repeat(np.arange(len(found)), lengths)  # its place among those found
        first = np.fromiter((day for _, day, _ in found), np.int64, len(found))
        days = np.frombuffer(b"".join(one.days for one in packed), np.uint8).astype(np.int64)
        self._days: Ints = first[self._month] + days - 1
        self._counts: Floats = np.frombuffer(b"".join(one.counts for one in packed), np.float64)
        who, what = np.divmod(np.frombuffer(b"".join(one.codes for one in packed), np.int64), METRICS_MOST)
        self._metrics = [name for one in packed for name in one.metrics]
        self._persons = [name for one in packed for name in one.persons]
        self._what: Ints = what + _starts([len(one.metrics) for one in packed])[self._month]
        self._who: Ints = who + _starts([len(one.persons) for one in packed])[self._month]
        self._whose_metric = np.repeat(np.arange(len(found)), [len(one.metrics) for one in packed])
        self._whose_person = np.repeat(np.arange(len(found)), [len(one.persons) for one in packed])
        self._somebody = who > 0

    def enter(self) -> None:
        """Into the series, and the last days of persons."""
        columns, found = self._columns, self._found
        self._advance()
        index = np.fromiter((row.index for row, _, _ in found), np.int64, len(found))[self._month]
        age = columns.horizons[index] - self._days
        totals = np.array([_counts_into(name) for name in self._metrics], np.bool_).reshape(-1, TOTALS)
        for which in range(TOTALS):
            mine = (age < TOTAL_DAYS) & totals[self._what, which]
            place = (index[mine] * TOTALS + which) * TOTAL_DAYS + self._days[mine] % TOTAL_DAYS
            np.add.at(columns.totals.reshape(-1), place, self._counts[mine])
        uses = totals[self._what, USAGE]
        self._features(uses & (age < columns.feature_days))
        self._people(uses & self._somebody & (self._counts > 0))

    def _advance(self) -> None:
        latest = np.full(len(self._found), NEVER)
        np.maximum.at(latest, self._month, self._days)
        last: dict[str, tuple[Row, Day]] = {}
        for (row, _, _), day in zip(self._found, latest.tolist(), strict=True):
            if day > last.get(row.state.id, (row, NEVER))[1]:
                last[row.state.id] = row, day
        for row, day in last.values():
            self._columns.advance(row, day)
            row.active = None

    def _features(self, near: NDArray[np.bool_]) -> None:
        columns, slots = self._columns, np.full(len(self._metrics), -1)
        for at in np.unique(self._what[near]).tolist():
            row, _, _ = self._found[self._whose_metric[at]]
            slots[at] = columns.slot(row, self._metrics[at][len(USE) :])
        place = slots[self._what[near]] * columns.feature_days + self._days[near] % columns.feature_days
        np.add.at(columns.features.reshape(-1), place, self._counts[near])

    def _people(self, uses: NDArray[np.bool_]) -> None:
        last = np.full(len(self._persons), NEVER)
        np.maximum.at(last, self._who[uses], self._days[uses])
        seen = np.flatnonzero(last > NEVER)
        for at, day, whose in zip(seen.tolist(), last[seen].tolist(), self._whose_person[seen].tolist(), strict=True):
            people, name = self._found[whose][0].people, self._persons[at]
            if day > people.get(name, NEVER):
                people[name] = day


@lru_cache(maxsize=4096)
def _counts_into(metric: str) -> tuple[bool, ...]:
    """For each of a row's totals, whether this metric counts into it."""
    return tuple(which in totals_of(metric) for which in range(TOTALS))


def _starts(lengths: Sequence[int]) -> Ints:
    """Where each begins if they follow one another."""
    return np.fromiter(accumulate(lengths[:-1], initial=0), np.int64, len(lengths))
