"""Series in rings against plain dictionaries."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.domain.columns.block import Block
from shared.domain.columns.months import Month
from shared.domain.columns.row import INBOUND, OUTBOUND, TOTAL_DAYS, USAGE, Entry, active_days
from shared.domain.columns.view import View
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import DAY, HOUR
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState
from tests.domain.builders import LOG, Desk, at, month_document, row_with, state, touch

MONDAY = day_of(at("2026-06-01"))
NOON = at("2026-06-01T12:00:00Z")


def other_head(number: int) -> RelationshipState:
    return RelationshipState(id=f"t/{number}", tenant="t", relationship=str(number))


def used_features(view: View, days: int) -> tuple[NDArray[np.int64], list[str], NDArray[np.float64]]:
    """Features used in these days: the position of their row, their names, and daily counts."""
    position, slots, series = view.features(np.arange(len(view)))
    counts = series.counts(days)
    used = np.flatnonzero(counts.any(axis=1))
    names = [view.feature_name(int(position[at]), int(slots[at])) for at in used]
    return position[used], names, counts[used]


def test_totals_and_features_by_hand() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    entries = [
        Entry("use:export", "ana", MONDAY, 3.0),
        Entry("use:export", "bob", MONDAY - 1, 2.0),
        Entry("use:import", "", MONDAY - 1, 1.0),
        Entry("in:email", "ana", MONDAY, 1.0),
        Entry("out:email", "ana", MONDAY - 2, 1.0),
        Entry("both:meeting", "ana", MONDAY - 1, 1.0),
    ]
    block.count(row, entries, Fence(LOG, 0, 0))
    view = block.view([row], [NOON])
    assert len(view) == 1
    assert view.elapsed.tolist() == [0.5]
    assert view.series(USAGE).counts(3).tolist() == [[3, 3, 0]]
    assert view.series(INBOUND).counts(3).tolist() == [[1, 1, 0]]
    assert view.series(OUTBOUND).counts(3).tolist() == [[0, 1, 1]]
    position, names, counts = used_features(view, 2)
    assert dict(zip(names, counts.tolist(), strict=True)) == {"export": [3, 2], "import": [0, 1]}
    assert position.tolist() == [0, 0]
    assert view.people(1).tolist() == [1]  # ana today
    assert view.people(2).tolist() == [2]


def test_a_day_ends_at_midnight() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    block.count(row, [Entry("use:export", "ana", MONDAY, 3.0)], Fence(LOG, 0, 0))
    last = block.view([row], [(MONDAY + 1) * DAY - 1])
    assert last.series(USAGE).counts(2).tolist() == [[3, 0]]
    assert last.elapsed[0] == pytest.approx(1)
    first = block.view([row], [(MONDAY + 1) * DAY])
    assert first.series(USAGE).counts(2).tolist() == [[0, 3]]
    assert first.elapsed[0] == 0
    assert first.people(1).tolist() == [0]
    assert first.people(2).tolist() == [1]


def test_rows_of_one_view_have_moments_of_their_own() -> None:
    block = Block(feature_days=68, capacity=1)
    rows = [block.add(other_head(number)) for number in range(3)]
    for row in rows:
        block.count(row, [Entry("use:export", "", MONDAY, 1.0)], Fence(LOG, 0, row.index))
    view = block.view(rows, [NOON, NOON + DAY, NOON + 2 * DAY])
    assert view.series(USAGE).counts(3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert used_features(view, 3)[2].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_record_counts_once_in_each_month() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    both = [Entry("in:email", "", MONDAY - 1, 1.0), Entry("in:email", "", MONDAY, 1.0)]  # May and June
    block.count(row, both[:1], Fence(LOG, 0, 4))
    block.count(row, both, Fence(LOG, 0, 4))
    assert block.view([row], [NOON]).series(INBOUND).counts(2).tolist() == [[1, 1]]
    block.count(row, [*both, *both], Fence(LOG, 0, 5))
    assert block.view([row], [NOON]).series(INBOUND).counts(2).tolist() == [[3, 3]]


def test_days_beyond_the_series_count_in_their_month_alone() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    block.count(row, [Entry("use:export", "", MONDAY, 1.0)], Fence(LOG, 0, 0))
    block.count(row, [Entry("use:old", "", MONDAY - 68, 1.0)], Fence(LOG, 0, 1))
    block.count(row, [Entry("use:older", "", MONDAY - TOTAL_DAYS, 1.0)], Fence(LOG, 0, 2))
    assert set(row.slots) == {"export"}
    assert block.view([row], [NOON]).series(USAGE).counts(TOTAL_DAYS).sum() == 2
    assert set(row.cells) == {month_of(MONDAY - back) for back in (0, 68, TOTAL_DAYS)}


def test_series_do_not_go_back() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    block.count(row, [Entry("use:export", "", MONDAY, 1.0)], Fence(LOG, 0, 0))
    for day in (MONDAY - 1, MONDAY):
        block.columns.advance(row, day)
        assert block.columns.horizons[row.index] == MONDAY
    assert block.view([row], [NOON]).series(USAGE).counts(2).tolist() == [[1, 0]]


def test_active_are_those_who_used_or_wrote_and_have_not_left() -> None:
    block, row = row_with(
        [
            touch("message.received", NOON - 3 * DAY, "m1", person="ana"),
            touch("message.sent", NOON, "m2", person="bob"),
            touch("message.received", NOON, "m3", person="eve"),
            touch("person.left", NOON, "p1", person="eve"),
        ]
    )
    block.count(row, [Entry("use:x", "dan", MONDAY - 1, 1.0)], Fence(LOG, 0, 9))
    assert sorted(active_days(row)) == [MONDAY - 3, MONDAY - 1]  # ana and dan
    view = block.view([row], [NOON])
    assert (view.people(4).tolist(), view.people(3).tolist()) == ([2], [1])


def test_rows_that_are_let_go_leave_clean_places() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    block.count(row, [Entry("use:export", "", MONDAY, 5.0)], Fence(LOG, 0, 0))
    block.evict(row)
    assert block.rows == {}
    again = block.add(other_head(1))
    block.count(again, [Entry("use:other", "", MONDAY - 2, 1.0)], Fence(LOG, 0, 1))
    view = block.view([again], [NOON])
    assert view.series(USAGE).counts(3).tolist() == [[0, 0, 1]]
    assert used_features(view, 3)[2].tolist() == [[0, 0, 1]]


def test_the_least_recently_used_that_hold_nothing_unsaved_go_first() -> None:
    block = Block(feature_days=68, capacity=2)
    rows = [block.add(other_head(number)) for number in range(4)]
    block.touch(rows[0])
    rows[1].changed = True
    rows[2].pending["x"] = touch("note.added", NOON)
    held = block.weight + block.ids.nbytes
    assert block.surplus(held) == []
    assert block.surplus(held - 1) == [rows[3]]
    assert block.surplus(0) == [rows[3], rows[0]]


def test_a_row_weighs_what_it_holds() -> None:
    block = Block(feature_days=68, capacity=2)
    light, heavy = block.add(other_head(1)), block.add(other_head(2))
    before = block.weight
    entries = [Entry(f"use:f{number}", f"p{number}", MONDAY, 1.0) for number in range(10)]
    block.count(heavy, entries, Fence(LOG, 0, 1))
    block.weigh(heavy)
    assert block.weight - before == heavy.weight - light.weight > 10 * 68 * 8
    block.evict(heavy)
    assert block.weight == light.weight


@pytest.mark.parametrize("quantity", [0.1, 50 / 24, 16_777_216.0])
def test_a_row_made_again_from_documents_is_the_same(quantity: float) -> None:
    desk = Desk()
    for number in range(30):
        desk.say("usage.feature_used", NOON + number * HOUR, feature="export", person="ana", quantity=quantity)
        desk.say("usage.feature_used", NOON + number * HOUR, feature="import", person="bob", quantity=1)
    stayed, features = desk.shown(), desk.features()
    desk.reload()
    assert (desk.shown(), desk.features()) == (stayed, features)


def test_which_rows_of_a_partition_are_due() -> None:
    block = Block(feature_days=68, capacity=1)
    rows = [block.add(other_head(number)) for number in range(4)]
    for number, (row, due) in enumerate(zip(rows, (5, 0, 7, 5), strict=True)):
        block.schedule(row, due)
        row.state.partition = number // 3
    assert list(block.due(4, 0)) == []
    assert list(block.due(5, 0)) == [rows[0]]
    assert list(block.due(7, 0)) == [rows[0], rows[2]]
    assert list(block.due(7, 1)) == [rows[3]]
    block.evict(rows[0])
    assert list(block.due(7, 0)) == [rows[2]]


def test_when_a_row_is_due_for_what_is_kept_with_it() -> None:
    desk = Desk()
    desk.say("usage.login", NOON)
    assert desk.block.dues(desk.row) == {}
    desk.clock(NOON + HOUR)
    dues = desk.block.dues(desk.row)
    assert dues["usage_drop"] == NOON + 12 * HOUR  # too little use to say anything of today
    assert dues["silence"] == 0
    desk.reload()
    assert desk.block.dues(desk.row) == dues
    other = desk.block.add(RelationshipState(id="t/new", tenant="t", relationship="new"))
    assert desk.block.dues(other) == {}


def test_a_feature_long_out_of_sight_is_shown_no_more() -> None:
    desk = Desk()
    desk.say("usage.feature_used", NOON, feature="old", person="ana")
    desk.say("usage.feature_used", NOON + 80 * DAY, feature="new", person="ana")
    stayed = desk.shown()
    assert desk.features() == {"new": (1, 0)}
    desk.reload()
    assert desk.shown() == stayed
    assert desk.features() == {"new": (1, 0)}


Did = tuple[int, str, str, int, bool]

things = st.tuples(
    st.one_of(st.integers(-3, 3), st.integers(-450, -300), st.integers(60, 90), st.just(500)),  # days from the newest
    st.sampled_from(("use:export", "use:import", "in:email", "out:email", "both:meeting")),
    st.sampled_from(("", "ana", "bob")),
    st.integers(0, 5),
    st.booleans(),
)


def test_a_month_with_nothing_but_scores_enters_no_series() -> None:
    block = Block(feature_days=68, capacity=1)
    suppressed = {"tenant": "t", "relationship": "acme", "scores": {"d3": [50.0, None]}}
    months = [Month(id=f"t/acme/{name}", month=name, **suppressed) for name in ("2026-05", "2026-06")]
    row = block.add(RelationshipState(id="t/acme", tenant="t", relationship="acme"), months)
    assert (list(row.cells), row.slots, row.people) == (["2026-05", "2026-06"], {}, {})
    view = block.view([row], [NOON])
    assert not view.series(USAGE).counts(TOTAL_DAYS).any()
    assert used_features(view, 40)[1] == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), things), max_size=30))
def test_series_equal_a_plain_recount(steps: list[tuple[int, Did]]) -> None:
    """Any counts, of late and of early days, in a block that grows, evicts and reloads."""
    block = Block(feature_days=40, capacity=1)
    cells: dict[int, dict[tuple[int, str, str], float]] = defaultdict(lambda: defaultdict(float))
    stored: dict[int, dict[str, Month]] = defaultdict(dict)
    today = dict.fromkeys(range(4), MONDAY)
    for position, (number, (ahead, metric, person, amount, absolute)) in enumerate(steps):
        row = block.rows.get(f"t/{number}") or block.add(other_head(number))
        day = today[number] + ahead
        today[number] = max(today[number], day)
        block.count(row, [Entry(metric, person, day, float(amount))], Fence(LOG, 0, position), absolute=absolute)
        mine = cells[number]
        if absolute and not person:
            for key in [key for key in mine if key[:2] == (day, metric)]:
                mine[key] = 0.0
        mine[day, metric, person] = amount + (0.0 if absolute else mine[day, metric, person])
        if amount == 3:
            _check(block, number, mine, today[number])
            known = stored[number]
            known |= {name: month_document(row, name, known.get(name)) for name in row.cells}
            block.evict(row)
            block.add(other_head(number), known.values())
    for number in {number for number, _ in steps}:
        _check(block, number, cells[number], today[number])


def _check(block: Block, number: int, cells: dict[tuple[int, str, str], float], today: int) -> None:
    row = block.rows[f"t/{number}"]
    view = block.view([row], [today * DAY + HOUR])
    for which, prefixes in ((USAGE, ("use",)), (INBOUND, ("in", "both")), (OUTBOUND, ("out", "both"))):
        wanted = np.zeros(TOTAL_DAYS)
        for (day, metric, _), count in cells.items():
            if metric.split(":")[0] in prefixes and today - day < TOTAL_DAYS:
                wanted[today - day] += count
        assert view.series(which).counts(TOTAL_DAYS)[0].tolist() == wanted.tolist()
    features: dict[str, list[float]] = defaultdict(lambda: [0.0] * 40)
    for (day, metric, _), count in cells.items():
        if metric.startswith("use:") and today - day < 40 and count:
            features[metric[4:]][today - day] += count
    _, names, counts = used_features(view, 40)
    assert dict(zip(names, counts.tolist(), strict=True)) == features
    people = {who for (day, metric, who), count in cells.items() if who and count and metric.startswith("use:")}
    newest = {
        who: max(day for (day, metric, name), n in cells.items() if name == who and n and metric.startswith("use:"))
        for who in people
    }
    for days in (1, 7, 40, 365):
        assert view.people(days).tolist() == [len([who for who in people if today - newest[who] < days])]
