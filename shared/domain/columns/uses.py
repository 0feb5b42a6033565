"""Plain uses, which are by far the most of what comes: counted one by one, entered into the series all together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.domain.columns.block import Block
from shared.domain.columns.counters import CELL_BYTES
from shared.domain.columns.months import USE
from shared.domain.columns.row import NEVER, Entry, Row
from shared.domain.contract.days import Day
from shared.domain.contract.events import DAY
from shared.domain.contract.uses import UseColumns
from shared.domain.relationship.fence import Fence


class Uses:
    """Counts uses of rows of a block; their series follow with `record`. The slow way to the same is `Block.count`."""

    def __init__(self, block: Block, log: Fence) -> None:
        """`log`: the incarnation and partition the uses are read from."""
        self._block = block
        self._log = log
        self._index: list[int] = []  # of rows, each with how many uses follow of it
        self._lengths: list[int] = []
        self._slots: list[int] = []
        self._days: list[Day] = []
        self._amounts: list[float] = []

    def count(self, row: Row, uses: UseColumns, positions: Sequence[int]) -> None:
        """Add uses of a relationship, in order, to their counters. None of its documents has been folded that far."""
        before, slots, days, amounts = len(self._slots), self._slots, self._days, self._amounts
        at: Day = NEVER
        for time, feature, person, amount, position in zip(*uses, positions, strict=True):
            day = time // DAY
            if day != at:
                at = day
                cells = row.days.get(day) or self._block.open_day(row, day, self._log)
                month, counts = cells.month, cells.counts
                cells.changed = month.changed = True
            what, who = month.uses.get(feature), month.persons.get(person)
            known = counts.get(who + what) if what is not None and who is not None else None
            if known:
                counts[who + what] = known + amount  # type: ignore[operator]
            elif month.roomy:
                counts[month.code(USE + feature, person)] = amount
                if known is None:
                    month.bytes += CELL_BYTES
                if person and amount and day > row.people.get(person, NEVER):
                    row.saw(person, day)
            else:
                entry = Entry(USE + feature, person, day, amount)
                self._block.count(row, (entry,), Fence(self._log.incarnation, self._log.partition, position))
                continue
            month.position = position
            slot = row.slots.get(feature)
            slots.append(self._block.columns.slot_on(row, feature, day) if slot is None else slot)
            days.append(day)
            amounts.append(amount)
        self._index.append(row.index)
        self._lengths.append(len(slots) - before)

    def record(self) -> None:
        """Enter what has been counted into the series."""
        if self._slots:
            index = np.repeat(np.array(self._index), self._lengths)
            self._block.columns.count_uses(index, np.array(self._slots), np.array(self._days), np.array(self._amounts))
