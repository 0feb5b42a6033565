"""What scores and rules look at, at array speed: rings of daily counts, and the numbers of facts, by place.

A relationship has a place (`Row.index`), and a slot for each feature it has used (`Row.slots`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.fact_columns import FACT_COLUMNS
from shared.domain.columns.row import NEVER, TOTAL_DAYS, TOTALS, USAGE, Row, totals_of
from shared.domain.contract.days import Day
from shared.domain.contract.events import Millis

NOW: Millis = 1  # due since for ever

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Columns:
    """Arrays that grow by doubling. `feature_days`: how far back features must reach."""

    def __init__(self, feature_days: int, capacity: int = 64) -> None:
        self.feature_days = feature_days
        self.totals: Floats = np.zeros((capacity, TOTALS, TOTAL_DAYS))
        self.facts: Floats = np.full((capacity, len(FACT_COLUMNS)), np.nan)
        self.horizons: Ints = np.full(capacity, NEVER)  # the newest day the series of a row reach
        self.phases: Ints = np.zeros(capacity, np.int64)  # how far into the hour its canonical moments lie (ms)
        self.due: Ints = np.zeros(capacity, np.int64)  # when its state falls due (ms), 0 = never
        self.due_for: dict[str, Ints] = {}  # the same by what is due then: a rule, or the scores; NOW until it is known
        self.features: Floats = np.zeros((capacity * 4, feature_days))
        self._free_places = list(range(capacity - 1, -1, -1))
        self._free_slots = list(range(capacity * 4 - 1, -1, -1))

    # --- places and slots ---------------------------------------------------------------------------------------

    def take(self) -> int:
        """A place for one more row: nothing is counted there."""
        if not self._free_places:
            self._grow()
        place = self._free_places.pop()
        self.totals[place] = 0
        self.horizons[place] = NEVER
        self.due[place] = 0
        for due in self.due_for.values():
            due[place] = NOW
        return place

    def give_back(self, row: Row) -> None:
        """A row has gone."""
        self.due[row.index] = 0
        self._free_places.append(row.index)
        self._free_slots.extend(row.slots.values())

    def slot(self, row: Row, feature: str) -> int:
        """The series of a feature."""
        slot = row.slots.get(feature)
        if slot is None:
            if not self._free_slots:
                had = len(self.features)
                self.features = np.concatenate([self.features, np.zeros_like(self.features)])
                self._free_slots.extend(range(2 * had - 1, had - 1, -1))
            slot = row.slots[feature] = self._free_slots.pop()
            self.features[slot] = 0
        return slot

    def slot_on(self, row: Row, feature: str, day: Day) -> int:
        """The series of a feature, -1 where this day is beyond its reach."""
        return self.slot(row, feature) if self.horizons[row.index] - day < self.feature_days else -1

    def total_on(self, row: Row, total: int, day: Day) -> float | None:
        """A total of a day; None where it lies beyond the reach of the series."""
        age = int(self.horizons[row.index]) - day
        return float(self.totals[row.index, total, day % TOTAL_DAYS]) if 0 <= age < TOTAL_DAYS else None

    def due_column(self, name: str) -> Ints:
        """When this is due for each place."""
        known = self.due_for.get(name)
        if known is None:
            known = self.due_for[name] = np.full(len(self.due), NOW)
        return known

    def _grow(self) -> None:
        had = len(self.totals)
        self.totals = np.concatenate([self.totals, np.zeros_like(self.totals)])
        self.facts = np.concatenate([self.facts, np.full_like(self.facts, np.nan)])
        self.horizons = np.concatenate([self.horizons, np.full_like(self.horizons, NEVER)])
        self.phases = np.concatenate([self.phases, np.zeros_like(self.phases)])
        self.due = np.concatenate([self.due, np.zeros_like(self.due)])
        self.due_for = {name: np.concatenate([due, np.full_like(due, NOW)]) for name, due in self.due_for.items()}
        self._free_places.extend(range(2 * had - 1, had - 1, -1))

    # --- counting -----------------------------------------------------------------------------------------------

    def advance(self, row: Row, day: Day) -> None:
        """Let the row's series reach `day`: the days in between had nothing so far."""
        step = day - int(self.horizons[row.index])
        if step <= 0:
            return
        if self.horizons[row.index] == NEVER:  # whatever is there is clean
            self.horizons[row.index] = day
            return
        if step == 1:  # by far the most of times
            self.totals[row.index, :, day % TOTAL_DAYS] = 0
            for slot in row.slots.values():
                self.features[slot, day % self.feature_days] = 0
            self.horizons[row.index] = day
            return
        days = np.arange(day - min(step, TOTAL_DAYS) + 1, day + 1)
        self.totals[row.index][:, days % TOTAL_DAYS] = 0
        if row.slots:
            slots = np.fromiter(row.slots.values(), np.int64)
            recent = days[-self.feature_days :]
            self.features[slots[:, None], recent[None, :] % self.feature_days] = 0
        self.horizons[row.index] = day

    def count(self, row: Row, metric: str, feature: str | None, day: Day, delta: float) -> None:
        """Enter a change of a counter; `feature`: what was used, None where the metric is no use."""
        self.advance(row, day)
        age = self.horizons[row.index] - day
        if feature is not None and age < self.feature_days:
            slot = self.slot(row, feature)  # first, for it may put a larger array in place
            self.features[slot, day % self.feature_days] += delta
        if age < TOTAL_DAYS:
            for total in totals_of(metric):
                self.totals[row.index, total, day % TOTAL_DAYS] += delta

    def count_uses(self, index: Ints, slots: Ints, days: Ints, amounts: Floats) -> None:
        """Add uses to the series of rows (by their index) and features (by slot, -1 for none)."""
        age = self.horizons[index] - days
        near = age < TOTAL_DAYS
        place = (index * TOTALS + USAGE) * TOTAL_DAYS + days % TOTAL_DAYS
        np.add.at(self.totals.reshape(-1), place[near], amounts[near])  # a flat array: numpy adds 5 times faster there
        near = (age < self.feature_days) & (slots >= 0)
        np.add.at(
            self.features.reshape(-1), (slots * self.feature_days + days % self.feature_days)[near], amounts[near]
        )
