"""When a worker looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from services.scoring import garbage
from services.scoring.garbage import EVERY, Garbage
from shared.domain.columns.block import Block
from shared.domain.columns.counters import MonthCells
from shared.domain.columns.row import Entry
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState


@pytest.fixture(autouse=True)
def collecting_again() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_it_looks_once_a_minute_while_idle() -> None:
    mine = Garbage()
    assert not gc.isenabled()
    assert mine.look(EVERY, idle=True)
    assert not mine.look(EVERY * 2 - 1, idle=True)
    assert mine.look(EVERY * 2, idle=True)


def test_under_load_it_looks_when_memory_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([100, 100, 125, 126, 126])
    monkeypatch.setattr(garbage, "resident", lambda: next(sizes))
    mine = Garbage()
    assert mine.look(EVERY, idle=False)  # 100: more than nothing; 100 after it
    assert not mine.look(EVERY * 2, idle=False)  # 125
    assert mine.look(EVERY * 2, idle=False)  # 126


def test_a_row_that_is_let_go_needs_no_look() -> None:
    gc.collect()
    gc.disable()
    block = Block(feature_days=68)
    row = block.add(RelationshipState(id="t/r", tenant="t", relationship="r"))
    block.count(row, [Entry("use:x", "ana", 20_000, 1.0)], Fence("one", 0, 0))
    block.open_day(row, 20_000, Fence("one", 0))
    assert any(isinstance(one, MonthCells) for one in gc.get_objects())
    block.evict(row)
    del row
    assert not any(isinstance(one, MonthCells) for one in gc.get_objects())
