from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.counters import MonthCells
from shared.domain.fence import Fence
from shared.domain.usage import Month, cells_of, day_number

FIRST = day_number("2026-02-01")


def test_a_record_is_folded_once() -> None:
    month = MonthCells("2026-02")
    assert month.admits(Fence("one", 0, 0))
    month.fence = Fence("one", 0, 7)
    assert not month.admits(Fence("one", 0, 7))
    assert not month.admits(Fence("one", 0, 3))
    assert month.admits(Fence("one", 0, 8))
    assert month.admits(Fence("two", 0, 0))
    assert month.admits(Fence("one", 1, 0))


def test_a_total_replaces_a_persons_count_or_everybodys() -> None:
    month = MonthCells("2026-02")
    assert list(month.add(FIRST, "use:export", "ana", 3)) == [("ana", 3)]
    assert list(month.add(FIRST, "use:export", "bob", 2)) == [("bob", 2)]
    assert list(month.add(FIRST, "use:other", "bob", 9)) == [("bob", 9)]
    assert list(month.set_total(FIRST, "use:export", "ana", 5)) == [("ana", 2)]
    assert list(month.set_total(FIRST, "use:export", "", 6)) == [("ana", -5), ("bob", -2), ("", 6)]
    assert list(month.set_total(FIRST, "use:export", "", 4)) == [("ana", 0), ("bob", 0), ("", -2)]
    assert {(who, what): count for _, what, who, count in month.items()} == {
        ("ana", "use:export"): 0,
        ("bob", "use:export"): 0,
        ("", "use:export"): 4,
        ("bob", "use:other"): 9,
    }


def test_days_with_a_person_are_those_with_usage() -> None:
    month = MonthCells("2026-02")
    month.add(FIRST, "use:export", "ana", 1)
    month.add(FIRST + 1, "in:email", "ana", 1)
    month.add(FIRST + 2, "use:export", "bob", 1)
    month.add(FIRST + 3, "use:export", "ana", 0)
    assert list(month.days_with("ana")) == [FIRST]


names = st.sampled_from(("", "ana", "bob"))
metrics = st.sampled_from(("use:export", "use:", "in:email", "both:meeting"))
days = st.integers(0, 27)
pairs = st.tuples(st.none() | st.floats(0, 100), st.none() | st.floats(0, 100))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(days, metrics, names, st.floats(0, 1e9))),
    st.dictionaries(st.integers(1, 28).map(str), pairs, max_size=3),
)
def test_a_month_survives_its_document(
    added: list[tuple[int, str, str, float]], scores: dict[str, tuple[float | None, float | None]]
) -> None:
    month = MonthCells("2026-02")
    for day, metric, person, amount in added:
        month.add(FIRST + day, metric, person, amount)
    month.scores = scores
    document = Month(id="i", tenant="t", relationship="r", month="2026-02", rev=3, offset=9, **month.fields())
    document = msgspec.json.decode(msgspec.json.encode(document), type=Month)
    again = MonthCells.load(document)
    assert again.days == month.days
    assert again.scores == month.scores
    assert (again.rev, again.fence, again.changed) == (3, Fence("", -1, 9), False)
    assert again.fields() == month.fields()
    assert [(cell.day, cell.metric, cell.person, cell.count) for cell in cells_of(document)] == list(month.items())
