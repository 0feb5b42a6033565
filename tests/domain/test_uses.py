"""Uses that are counted one by one and entered into the series together, against the slow way to the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns import counters
from shared.domain.columns.block import Block
from shared.domain.columns.counters import CELL_BYTES, OTHERS
from shared.domain.columns.months import USE, Month
from shared.domain.columns.row import TOTAL_DAYS, USAGE, Entry, Row, active_days
from shared.domain.columns.uses import Uses
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import DAY, HOUR
from shared.domain.contract.uses import Use, UseColumns, UseData
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState
from tests.domain.builders import LOG, at, counters_of, month_document
from tests.examples import examples

NOON = at("2026-06-01T12:00:00Z")
MONDAY = day_of(NOON)
NAMES = ("0", "1", "2")


def use(feature: str = "export", person: str = "", quantity: float = 1.0, day: int = MONDAY, name: str = "0") -> Use:
    return Use("t", name, "e1", "test", "usage.feature_used", day * DAY + HOUR, UseData(feature, person, quantity))


def new_block() -> Block:
    block = Block(feature_days=40, capacity=1)
    for name in NAMES:
        block.add(RelationshipState(id=f"t/{name}", tenant="t", relationship=name))
    return block


def row_of(block: Block, name: str = "0") -> Row:
    return block.rows[f"t/{name}"]


def fast(block: Block, uses: list[Use], position: int = 0) -> None:
    """Count uses as the engine does in one pass."""
    counting = Uses(block, Fence(LOG, 0))
    for at_position, one in enumerate(uses, position):
        columns = UseColumns([one.time], [one.feature], [one.data.person], [one.data.quantity])
        counting.count(row_of(block, one.relationship), columns, [at_position])
    counting.record()


def slow(block: Block, uses: list[Use], position: int = 0) -> None:
    """The same one by one."""
    for at_position, one in enumerate(uses, position):
        entry = Entry(USE + one.feature, one.data.person, day_of(one.time), one.data.quantity)
        block.count(row_of(block, one.relationship), (entry,), Fence(LOG, 0, at_position))


def state(block: Block) -> dict[str, Any]:
    """Everything that counting may change, by relationship."""
    return {id: _state(block, row) for id, row in block.rows.items()}


def _state(block: Block, row: Row) -> dict[str, Any]:
    horizon = int(block.columns.horizons[row.index])
    view = block.view([row], [horizon * DAY]) if row.cells else None
    return {
        "months": {name: month_document(row, name) for name in row.cells},
        "changed": {name: (month.changed, month.bytes, month.uses) for name, month in row.cells.items()},
        "days": {
            name: [day for day, cells in month.days.items() if cells.changed] for name, month in row.cells.items()
        },
        "people": row.people,
        "active": sorted(active_days(row)),
        "horizon": horizon,
        "totals": view and view.series(USAGE).counts(TOTAL_DAYS).tolist(),
        "features": view and {name: view.daily(0, name, block.columns.feature_days).tolist() for name in row.slots},
    }


def same(*batches: list[Use]) -> Block:
    """Count these both ways; the block."""
    quick, plain = new_block(), new_block()
    position = 0
    for batch in batches:
        fast(quick, batch, position)
        slow(plain, batch, position)
        position += len(batch)
        assert state(quick) == state(plain)
    return quick


def test_a_use_by_hand() -> None:
    block = same([use("export", "ana", 2.5), use("export", "ana", 1.0)])
    row = row_of(block)
    assert counters_of(row.cells["2026-06"]) == [(MONDAY, "use:export", "ana", 3.5)]
    assert row.cells["2026-06"].fence == Fence(LOG, 0, 1)
    assert row.people == {"ana": MONDAY}
    view = block.view([row], [NOON])
    assert view.series(USAGE).counts(2).tolist() == [[3.5, 0]]
    assert view.daily(0, "export", 2).tolist() == [3.5, 0]


def test_nothing_counted_is_nothing_entered() -> None:
    block = new_block()
    Uses(block, Fence(LOG, 0)).record()
    assert state(block) == state(new_block())


def test_a_use_of_nothing_makes_nobody_active() -> None:
    block = same([use(person="ana", quantity=0.0), use(person="ana", quantity=0.0)])
    assert row_of(block).people == {}
    block = same([use(person="ana", quantity=0.0), use(person="ana"), use(person="ana", quantity=0.0)])
    assert row_of(block).people == {"ana": MONDAY}


def test_an_earlier_day_leaves_the_last_one_and_a_later_one_moves_it() -> None:
    block = same([use(person="ana"), use(person="ana", day=MONDAY - 1)], [use(person="ana", day=MONDAY + 1)])
    assert row_of(block).people == {"ana": MONDAY + 1}


def test_who_is_active_is_asked_anew_after_a_use() -> None:
    block = same([use(person="ana")])
    assert list(active_days(row_of(block))) == [MONDAY]
    fast(block, [use(person="bob", day=MONDAY - 1)], 1)
    assert sorted(active_days(row_of(block))) == [MONDAY - 1, MONDAY]


def test_a_feature_out_of_reach_gets_no_series() -> None:
    old = [use("old", day=MONDAY - 40), use("older", day=MONDAY - TOTAL_DAYS), use("near", day=MONDAY - 39)]
    block = same([use("export"), *old])
    row = row_of(block)
    assert set(row.slots) == {"export", "near"}
    assert set(row.cells) == {month_of(MONDAY - back) for back in (0, 39, 40, TOTAL_DAYS)}
    assert block.view([row], [NOON]).series(USAGE).counts(TOTAL_DAYS).sum() == 3


def test_what_is_left_behind_before_it_is_entered_is_not() -> None:
    ahead = MONDAY + TOTAL_DAYS
    block = same([use("export"), use("export", day=MONDAY + 40), use("import", day=ahead)])
    view = block.view([row_of(block)], [ahead * DAY])
    assert view.daily(0, "export", 40).tolist() == [0.0] * 40
    assert view.series(USAGE).counts(TOTAL_DAYS).sum() == 2


def test_beyond_the_metrics_of_a_month_uses_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "METRICS_KEPT", 2)
    block = same([use(feature, "ana") for feature in ("a", "b", "c", "a", "d", "c", "a")])
    assert [(metric, count) for _, metric, _, count in counters_of(row_of(block).cells["2026-06"])] == [
        ("use:a", 3),
        ("use:b", 1),
        (f"use:{OTHERS}", 3),
    ]


def test_beyond_the_bytes_of_a_month_people_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MONTH_BYTES", 3 * CELL_BYTES)
    block = same([use("a", person) for person in ("ana", "bob", "eve", "ana", "dan", "")])
    assert [(person, count) for _, _, person, count in counters_of(row_of(block).cells["2026-06"])] == [
        ("ana", 2),
        ("bob", 1),
        (OTHERS, 2),
        ("", 1),
    ]


def test_a_full_month_of_another_log_takes_uses_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "METRICS_KEPT", 1)
    quick, plain = new_block(), new_block()
    for block in (quick, plain):
        block.count(row_of(block), (Entry("use:a", "ana", MONDAY, 1.0),), Fence("zero", 0, 1_000))
    fast(quick, [use("b", "ana"), use("b", "ana")])
    slow(plain, [use("b", "ana"), use("b", "ana")])
    assert state(quick) == state(plain)
    assert [count for *_, count in counters_of(row_of(quick).cells["2026-06"])] == [1, 2]


things = st.builds(
    use,
    feature=st.sampled_from(("a", "b", "c", "d")),
    person=st.sampled_from(("", "ana", "bob", "eve")),
    quantity=st.sampled_from((0.0, 1.0, 2.5)),
    day=st.one_of(st.integers(-3, 3), st.sampled_from((-450, -400, -399, -40, -39, 39, 60, 400))).map(MONDAY.__add__),
    name=st.sampled_from(NAMES),
)
batches = st.lists(st.tuples(st.lists(things, max_size=12), st.sampled_from(("", "store", "reload"))), max_size=4)


@pytest.mark.parametrize(("metrics", "cells"), [(500, 10_000), (2, 10_000), (500, 4)])
@settings(max_examples=examples(40), deadline=None)
@given(batches)
def test_the_fast_way_is_the_slow_way(metrics: int, cells: int, published: list[tuple[list[Use], str]]) -> None:
    """Batches of several relationships, of late and early days, with and without room, stored and reloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "METRICS_KEPT", metrics)
        patch.setattr(counters, "MONTH_BYTES", cells * CELL_BYTES)
        quick, plain, position = new_block(), new_block(), 0
        documents: list[dict[str, dict[str, Month]]] = [{}, {}]
        for batch, then in published:
            fast(quick, batch, position)
            slow(plain, batch, position)
            position += len(batch)
            assert state(quick) == state(plain)
            if then:
                store(quick, documents[0])
                store(plain, documents[1])
                assert documents[0] == documents[1]
            if then == "reload":
                quick, plain = again(documents[0]), again(documents[1])
                assert {id: found["months"] for id, found in state(quick).items()} == {
                    id: found["months"] for id, found in state(plain).items()
                }


def store(block: Block, documents: dict[str, dict[str, Month]]) -> None:
    for id, row in block.rows.items():
        known = documents.setdefault(id, {})
        for name, month in row.cells.items():
            known[name] = month_document(row, name, known.get(name))
            month.stored()
        row.days = {}


def again(documents: dict[str, dict[str, Month]]) -> Block:
    block = Block(feature_days=40, capacity=1)
    for name in NAMES:
        months = documents.get(f"t/{name}", {}).values()
        block.add(RelationshipState(id=f"t/{name}", tenant="t", relationship=name), months)
    return block
