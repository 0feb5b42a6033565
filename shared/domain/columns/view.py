"""What rules and scores look at: some rows of a block, each as of a moment, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.fact_columns import FACT_COLUMNS
from shared.domain.columns.row import TOTAL_DAYS, USAGE, Row, active_days
from shared.domain.contract.events import DAY

if TYPE_CHECKING:
    from shared.domain.columns.block import Block

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_YEAR = 365  # days
_DIGITS = 6  # decimals of a day's count: sums of the same amounts in another order are the same number


class View:
    """Some rows of a block, each as of a moment. All arrays have one entry (or line) a row, in the given order."""

    def __init__(self, block: Block, rows: Sequence[Row], at: Ints) -> None:
        self.block = block
        self.rows = rows
        self.at = at
        self.day = at // DAY
        self.elapsed: Floats = (at % DAY) / DAY  # the share of the present day that has passed
        self.index = np.fromiter((row.index for row in rows), np.int64, len(rows))
        self._totals: dict[int, Floats] = {}
        self._people: tuple[Ints, Ints] | None = None  # position and last active day of everybody

    def __len__(self) -> int:
        return len(self.rows)

    def fact(self, name: str) -> Floats:
        """A column of facts by name; NaN where there is no evidence."""
        column: Floats = self.block.facts[self.index, FACT_COLUMNS.index(name)]
        return column

    def total(self, which: int, days: int) -> Floats:
        """Daily counts of a total over the last `days` days: shape (rows, days), today first."""
        known = self._totals.get(which)
        if known is None or known.shape[1] < days:
            known = self._totals[which] = self._total(which, max(days, _YEAR))
        return known[:, :days]

    def _total(self, which: int, days: int) -> Floats:
        back = np.arange(days)
        if len(self) and (self.day == self.day[0]).all():  # all of one day, as after a flush: no index a cell
            return self._rounded(self.block.totals[self.index, which][:, (self.day[0] - back) % TOTAL_DAYS])
        columns = (self.day[:, None] - back[None, :]) % TOTAL_DAYS
        return self._rounded(self.block.totals[self.index[:, None], which, columns])

    def _rounded(self, counts: Floats) -> Floats:
        return counts if self.block.whole else counts.round(_DIGITS)

    def features(self, days: int) -> tuple[Ints, list[str], Floats]:
        """Daily counts of features used in these days: the position of their row, their names, and (series, days)."""
        found = [(at, name, slot) for at, row in enumerate(self.rows) for name, slot in row.slots.items()]
        position = np.fromiter((at for at, _, _ in found), np.int64, len(found))
        slots = np.fromiter((slot for _, _, slot in found), np.int64, len(found))
        columns = (self.day[position][:, None] - np.arange(days)[None, :]) % self.block.feature_days
        counts = self.block.features[slots[:, None], columns].round(_DIGITS)
        used = np.flatnonzero(counts.any(axis=1))
        return position[used], [found[at][1] for at in used], counts[used]

    def daily(self, position: int, feature: str, days: int) -> Floats:
        """Daily uses of a feature ("" for all) of one row over the last `days` days, today first."""
        if not feature:
            of_all: Floats = self.total(USAGE, days)[position]
            return of_all
        columns = (self.day[position] - np.arange(days)) % self.block.feature_days
        counts: Floats = self.block.features[self.rows[position].slots[feature], columns].round(_DIGITS)
        return counts

    def people(self, days: int) -> Ints:
        """Distinct people with usage or inbound touches in the last `days` days, who have not left."""
        if self._people is None:
            known = [active_days(row) for row in self.rows]
            position = np.repeat(np.arange(len(known)), [len(one) for one in known])
            self._people = position, np.fromiter((day for one in known for day in one), np.int64, len(position))
        position, last = self._people
        counted = position[last > self.day[position] - days]
        return np.bincount(counted, minlength=len(self.rows)).astype(np.int64)
