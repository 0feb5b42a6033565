from __future__ import annotations

from shared.domain.columns.block import Block
from shared.domain.columns.row import USAGE, Entry
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState


def test_a_block_grows_while_it_counts() -> None:
    block = Block(feature_days=80, capacity=1)
    for number in range(5):
        row = block.add(RelationshipState(id=f"t/{number}", tenant="t", relationship=str(number)))
        for feature in range(3):
            entry = Entry(f"use:f{feature}", "", 20_000, 2.0)
            block.count(row, (entry, entry), Fence("i", 0, number * 3 + feature))
    for row in block.rows.values():
        assert block.columns.totals[row.index, USAGE].sum() == 12
        assert [block.columns.features[slot].sum() for slot in row.slots.values()] == [4, 4, 4]
