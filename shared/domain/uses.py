"""Plain uses, which are by far the most of what comes: counted one by one, entered into the series all together."""

from __future__ import annotations

import numpy as np

from shared.domain.block import NEVER, Block, Entry, Row
from shared.domain.counters import CELL_BYTES
from shared.domain.events import DAY, PLAIN_USE, Use
from shared.domain.fence import Fence
from shared.domain.usage import USE


class Uses:
    """Counts uses of rows of a block; their series follow with `record`. The slow way to the same is `Block.count`."""

    def __init__(self, block: Block, log: Fence) -> None:
        """`log`: the incarnation and partition the uses are read from."""
        self._block = block
        self._log = log
        self._index: list[int] = []
        self._slots: list[int] = []
        self._days: list[int] = []
        self._amounts: list[float] = []

    def count(self, row: Row, use: Use, offset: int) -> None:
        """Add a use to its counter. No document of the row has been folded as far as this offset."""
        data = use.data
        feature, person, amount = data.feature or PLAIN_USE[use.type], data.person, data.quantity
        day = use.time // DAY
        cells = row.days.get(day) or self._block.open_day(row, day, self._log)
        month, counts = cells.month, cells.counts
        what, who = month.uses.get(feature), month.persons.get(person)
        known = counts.get(who + what) if what is not None and who is not None else None
        if known:
            counts[who + what] = known + amount  # type: ignore[operator]
        elif month.roomy:
            counts[month.code(USE + feature, person)] = amount
            if known is None:
                month.bytes += CELL_BYTES
            if person and amount and day > row.people.get(person, NEVER):
                row.people[person] = day
                row.active = None
        else:
            entry = Entry(USE + feature, person, day, amount)
            self._block.count(row, (entry,), Fence(self._log.incarnation, self._log.partition, offset))
            return
        cells.changed = month.changed = True
        month.offset = offset
        slot = row.slots.get(feature)
        self._slots.append(self._block.slot(row, feature, day) if slot is None else slot)
        self._index.append(row.index)
        self._days.append(day)
        self._amounts.append(amount)

    def record(self) -> None:
        """Enter what has been counted into the series."""
        if self._index:
            self._block.record_uses(
                np.array(self._index), np.array(self._slots), np.array(self._days), np.array(self._amounts)
            )
