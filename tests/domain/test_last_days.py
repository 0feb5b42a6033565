"""On which day everybody was seen last, once counts have been undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.columns.row import NEVER, Entry, Row, active_days
from shared.domain.contract.days import day_of
from shared.domain.relationship.fence import Fence
from tests.domain.builders import LOG, at, counters_of, state
from tests.examples import examples

MONDAY = day_of(at("2026-06-01"))


def test_somebody_whose_last_day_was_undone_was_last_seen_before() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    for position, (day, amount) in enumerate([(-3, 1.0), (0, 1.0), (0, 0.0), (-1, 1.0), (-1, 0.0), (-3, 0.0)]):
        block.count(row, [Entry("use:x", "ana", MONDAY + day, amount)], Fence(LOG, 0, position), absolute=True)
        seen = row.people["ana"] - MONDAY
        assert seen == [-3, 0, -3, -1, -3, seen][position]
    assert [day for day in active_days(row) if day > MONDAY - 4] == []


def test_a_total_of_the_day_undoes_the_last_day_of_everybody_in_it() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    before = {"ana": 1, "bob": 40, "cy": 400}  # days before
    uses = [Entry("use:y", person, MONDAY - back, 1.0) for person, back in before.items()]
    uses += [Entry("use:x", person, MONDAY, 1.0) for person in (*before, "dan", "eve")]
    block.count(row, [*uses, Entry("use:y", "eve", MONDAY, 1.0)], Fence(LOG, 0, 0))
    assert sorted(active_days(row)) == [MONDAY] * 5
    block.count(row, [Entry("use:x", "", MONDAY, 9.0)], Fence(LOG, 0, 1), absolute=True)
    assert row.people == {who: MONDAY - back for who, back in before.items()} | {"dan": NEVER, "eve": MONDAY}
    assert sorted(active_days(row)) == sorted(row.people.values())
    block.count(row, [Entry("use:y", "", MONDAY, 9.0)], Fence(LOG, 0, 2), absolute=True)
    assert row.people["eve"] == NEVER


@pytest.mark.parametrize(("persons", "before", "most"), [(300, 1.0, 300), (300, 0.0, 3000), (1, 1.0, 1), (1, 0.0, 10)])
def test_a_total_looks_at_each_counter_once_at_most(persons: int, before: float, most: int) -> None:
    """Newest days first: at the first of ten where all of these persons are found there, else at them all."""
    looks = 0

    class Watched(dict[int, float]):
        """Counts how often somebody asks for a counter of it, or goes over one."""

        def get(self, key: int, default: Any = None) -> Any:
            nonlocal looks
            looks += 1
            return super().get(key, default)

        def items(self) -> Any:
            nonlocal looks
            looks += len(self)
            return super().items()

    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    names = [f"p{number}" for number in range(300)]
    old = [Entry("use:y", person, MONDAY - back, before) for back in range(60, 70) for person in names]
    block.count(row, old + [Entry("use:x", person, MONDAY, 1.0) for person in names[:persons]], Fence(LOG, 0, 0))
    for month in row.cells.values():
        for day in month.days.values():
            if day.day != MONDAY:
                day.counts = Watched(day.counts)
    block.count(row, [Entry("use:x", "", MONDAY, 9.0)], Fence(LOG, 0, 1), absolute=True)
    assert {row.people[person] for person in names[:persons]} == {MONDAY - 60 if before else NEVER}
    assert looks == most


published = st.tuples(
    st.sampled_from((0, 1, 2, 31, 75)),  # days before
    st.sampled_from(("use:export", "use:import", "use:x", "in:email")),
    st.sampled_from(("", "", "ana", "bob", "cy", "dan", "eve")),
    st.integers(0, 2),
    st.booleans(),
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.lists(published, min_size=1, max_size=12), max_size=12))
def test_last_days_equal_a_look_at_every_counter(steps: list[list[tuple[int, str, str, int, bool]]]) -> None:
    """After any uses and totals, alone or many in one record, everybody was seen last when their counters say."""
    block = Block(feature_days=40, capacity=1)
    row = block.add(state())
    met: set[str] = set()
    for position, step in enumerate(steps):
        absolute = step[0][-1]
        entries = [Entry(metric, who, MONDAY - back, float(amount)) for back, metric, who, amount, _ in step]
        block.count(row, entries, Fence(LOG, 0, position), absolute=absolute)
        assert row.people.keys() >= met
        met = set(row.people)
        assert {who: day for who, day in row.people.items() if day != NEVER} == _last_days(row)
        assert sorted(active_days(row)) == sorted(row.people.values())


def _last_days(row: Row) -> dict[str, int]:
    found: dict[str, int] = {}
    for month in row.cells.values():
        for day, metric, who, count in counters_of(month):
            if who and count > 0 and metric.startswith("use:"):
                found[who] = max(day, found.get(who, day))
    return found
