"""What a worker holds in memory: relationships and event ids, within its budget."""

from __future__ import annotations

from collections.abc import Mapping

from services.scoring.progress import PartitionProgress
from shared.domain.columns.block import ROW_BYTES
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import position_of
from shared.telemetry import Metrics

ROWS_SHARE = 0.5  # of a worker's memory for relationships; the rest for the program, batches and arrays that grow


class MemoryBudget:
    """For the rows of a block. `memory`: bytes of a worker."""

    def __init__(self, memory: int, terms: Terms, metrics: Metrics) -> None:
        self._budget = round(memory * ROWS_SHARE)
        self._metrics = metrics
        # Room for all that fit, of which the system gives only what is used: to grow would mean to copy
        self.block = terms.block(capacity=1 + self._budget // ROW_BYTES)

    @property
    def over_budget(self) -> bool:
        """Relationships take more memory than they may: what holds something that is not stored cannot be let go of."""
        return self._left < 0

    @property
    def spare(self) -> int:
        """About how many relationships more there is room for, without letting go of any."""
        average = self.block.weight / len(self.block.rows) if self.block.rows else ROW_BYTES
        return max(0, int(self._left / average))

    @property
    def _left(self) -> int:
        ids = min(self.block.ids.nbytes, self._budget // 2)
        return self._budget - ids - self.block.weight

    def evict(self, partitions: Mapping[int, PartitionProgress]) -> None:
        """Let go of what has not been used for longest, and of event ids that will not come again."""
        block = self.block
        block.ids.passed({number: position_of(owned.folded) for number, owned in partitions.items()})
        block.ids.compact()
        surplus = block.surplus(self._budget)
        touched = {id for owned in partitions.values() for id in owned.touched} if surplus else set()
        for row in surplus:
            if row.state.id not in touched:  # some have nothing to be stored, but are to be told of again
                block.evict(row)
        self._show()

    def leave(self, partitions: Mapping[int, PartitionProgress]) -> None:
        """Let go of what belongs to none of these."""
        for row in list(self.block.rows.values()):
            if row.state.partition not in partitions:
                self.block.evict(row)
        self._show()

    def _show(self) -> None:
        self._metrics.resident_relationships.set(len(self.block.rows))
        self._metrics.resident_ids.set(self.block.ids.resident)
        self._metrics.resident_bytes.set(self.block.weight + self.block.ids.nbytes)
