from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns import counters
from shared.domain.columns.counters import CELL_BYTES, OTHERS, MonthCells
from shared.domain.columns.months import Month, cells_of
from shared.domain.columns.row import Row
from shared.domain.contract.days import day_number
from shared.domain.relationship.fence import Fence
from tests.domain.builders import counters_of, month_document, state

FIRST = day_number("2026-02-01")
NAME = "2026-02"


def counted(month: MonthCells) -> dict[tuple[int, str, str], float]:
    """Its counters by the day of the month, metric and person."""
    counters = counters_of(month)
    found = {(day - FIRST + 1, metric, person): count for day, metric, person, count in counters}
    assert len(found) == len(counters)
    return found


def stored(month: MonthCells, before: Month | None = None) -> Month:
    """The document after a write of what has changed, which then counts as stored."""
    row = Row(0, 0, state())
    row.cells[month.month] = month
    document = month_document(row, month.month, before)
    month.stored()
    return document


def test_a_record_is_folded_once() -> None:
    month = MonthCells(NAME)
    assert month.admits(Fence("one", 0, 0))
    month.move(Fence("one", 0, 7))
    assert month.fence == Fence("one", 0, 7)
    assert not month.admits(Fence("one", 0, 7))
    assert not month.admits(Fence("one", 0, 3))
    assert month.admits(Fence("one", 0, 8))
    assert month.admits(Fence("two", 0, 0))
    assert month.admits(Fence("one", 1, 0))


def test_a_total_replaces_a_persons_count_or_everybodys() -> None:
    month = MonthCells(NAME)
    assert list(month.add(FIRST, "use:export", "ana", 3)) == [("ana", 3)]
    assert list(month.add(FIRST, "use:export", "bob", 2)) == [("bob", 2)]
    assert list(month.add(FIRST, "use:other", "bob", 9)) == [("bob", 9)]
    assert list(month.set_total(FIRST, "use:export", "ana", 5)) == [("ana", 2)]
    assert list(month.set_total(FIRST, "use:export", "", 6)) == [("ana", -5), ("bob", -2), ("", 6)]
    assert list(month.set_total(FIRST, "use:export", "", 4)) == [("ana", 0), ("bob", 0), ("", -2)]
    assert counted(month) == {
        (1, "use:export", "ana"): 0,
        (1, "use:export", "bob"): 0,
        (1, "use:export", ""): 4,
        (1, "use:other", "bob"): 9,
    }


def test_a_total_of_what_was_never_counted() -> None:
    month = MonthCells(NAME)
    month.add(FIRST, "use:other", "ana", 3)
    assert list(month.set_total(FIRST, "use:export", "", 6)) == [("", 6)]
    assert list(month.set_total(FIRST + 1, "use:export", "ana", 2)) == [("ana", 2)]
    assert counted(month) == {(1, "use:other", "ana"): 3, (1, "use:export", ""): 6, (2, "use:export", "ana"): 2}


def test_scores_of_a_month_change_alone_or_beside_counters() -> None:
    month = MonthCells(NAME)
    assert not month.scores_alone
    month.record_scores(FIRST, (50.0, None))
    assert (month.scores_alone, month.changed, month.fields()["scores.d1"]) == (True, True, [50.0, None])
    month.stored()
    month.record_scores(FIRST, (50.0, None))
    assert (month.scores_alone, month.changed) == (False, False)
    month.add(FIRST, "use:export", "ana", 1)
    month.record_scores(FIRST, (60.0, None))
    assert not month.scores_alone


def test_the_last_day_with_use_is_found_for_many_and_for_few() -> None:
    month = MonthCells(NAME)
    for person in ("ana", "bob", "cy", "dan"):
        month.add(FIRST, "use:export", person, 1)
        month.add(FIRST + 1, "in:email", person, 1)
    month.add(FIRST + 2, "use:import", "bob", 1)
    month.add(FIRST + 3, "use:export", "ana", 0)
    month.add(FIRST + 4, "in:email", "eve", 1)
    everybody = {"ana": FIRST, "bob": FIRST + 2, "cy": FIRST, "dan": FIRST}
    assert month.last_uses([*everybody, "eve", "nobody"]) == everybody  # more pairs of these with uses than counters
    assert month.last_uses(["ana"]) == {"ana": FIRST}  # fewer
    assert month.last_uses(["bob"]) == {"bob": FIRST + 2}
    assert month.last_uses(["eve", "nobody"]) == month.last_uses([]) == {}


def test_what_is_written_is_what_has_changed() -> None:
    month = MonthCells(NAME)
    month.add(FIRST, "use:export", "ana", 3)
    month.add(FIRST, "in:email", "", 1)
    month.add(FIRST + 27, "use:export", "", 2)
    first = {"days.d1": [[509, 1], [3, 1]], "days.d28": [[0], [2]]}
    assert month.fields() == first | {"metrics": ["use:export", "in:email"], "persons": ["", "ana"]}
    assert (month.changed, month.rev) == (True, 0)
    month.stored()
    assert (month.changed, month.rev, month.fields()) == (False, 1, {})
    month.add(FIRST + 27, "use:export", "ana", 4)
    assert month.fields() == {"days.d28": [[0, 509], [2, 4]]}
    month.stored()
    month.add(FIRST + 1, "use:import", "bob", 1)
    month.scores["d2"] = (50.25, None)
    month.changed_scores.add("d2")
    assert month.fields() == {
        "days.d2": [[2 * 509 + 2], [1]],
        "scores.d2": [50.25, None],
        "metrics": ["use:export", "in:email", "use:import"],
        "persons": ["", "ana", "bob"],
    }
    month.stored()
    month.changed_scores.add("d2")
    assert month.fields() == {"scores.d2": [50.25, None]}


def test_a_month_knows_where_uses_are_counted() -> None:
    month = MonthCells(NAME)
    month.add(FIRST, "in:email", "ana", 1)
    month.add(FIRST, "use:export", "ana", 1)
    assert month.uses == {"export": 1}
    again = MonthCells.load(stored(month))
    again.unpack()
    assert again.uses == {"export": 1}


def test_beyond_its_metrics_what_is_new_counts_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "METRICS_KEPT", 2)
    month = MonthCells(NAME)
    assert month.roomy
    month.add(FIRST, "use:a", "ana", 1)
    month.add(FIRST, "in:email", "", 1)
    assert not month.roomy
    assert month.kept(FIRST, "use:a", "ana") == ("use:a", "ana")
    assert month.kept(FIRST + 1, "use:a", "bob") == ("use:a", "bob")
    assert month.kept(FIRST, "use:b", "ana") == (f"use:{OTHERS}", "ana")
    assert month.kept(FIRST, "both:meeting", "") == (f"both:{OTHERS}", "")


def test_beyond_its_bytes_whoever_is_new_counts_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MONTH_BYTES", 3 * CELL_BYTES)
    month = MonthCells(NAME)
    month.add(FIRST, "use:a", "ana", 1)
    assert (month.bytes, month.roomy) == (2 * CELL_BYTES + 3, True)
    assert month.kept(FIRST, "use:a", "bob") == ("use:a", "bob")
    month.add(FIRST, "use:a", "", 1)
    assert not month.roomy
    assert month.kept(FIRST, "use:a", "ana") == ("use:a", "ana")
    assert month.kept(FIRST, "use:a", "bob") == ("use:a", OTHERS)
    assert month.kept(FIRST + 1, "use:a", "ana") == ("use:a", OTHERS)
    assert month.kept(FIRST + 1, "use:a", "") == ("use:a", "")


names = st.sampled_from(("", "ana", "bob"))
metrics = st.sampled_from(("use:export", "use:", "in:email", "both:meeting"))
days = st.integers(0, 27)
pairs = st.tuples(st.none() | st.floats(0, 100), st.none() | st.floats(0, 100))
additions = st.lists(st.tuples(days, metrics, names, st.floats(0, 1e9)), max_size=8)
recorded = st.dictionaries(st.integers(1, 28).map(lambda day: f"d{day}"), pairs, max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(additions, recorded), min_size=1, max_size=4))
def test_a_month_survives_its_document(
    rounds: list[tuple[list[tuple[int, str, str, float]], dict[str, tuple[float | None, float | None]]]],
) -> None:
    """Written in parts, of which each holds only what has changed, it comes back whole."""
    month, document = MonthCells(NAME), None
    wanted: dict[tuple[int, str, str], float] = {}
    for position, (added, scores) in enumerate(rounds):
        for day, metric, person, amount in added:
            month.add(FIRST + day, metric, person, amount)
            wanted[day + 1, metric, person] = wanted.get((day + 1, metric, person), 0.0) + amount
        month.scores |= scores
        month.changed_scores |= set(scores)
        month.move(Fence("one", 0, position))
        document = stored(month, document)
        again = MonthCells.load(document)
        again.unpack()
        assert counted(again) == counted(month) == wanted
        assert {day: tuple(pair) for day, pair in document.scores.items()} == month.scores
        assert (again.rev, again.fence, again.changed) == (position + 1, Fence("one", 0, position), False)
        assert (again.metrics, again.persons, again.uses) == (month.metrics, month.persons, month.uses)
        assert (again.bytes, again.fields()) == (month.bytes, {})
        assert [(cell.day, cell.metric, cell.person, cell.count) for cell in cells_of(document)] == counters_of(again)
        again.add(FIRST, "use:export", "eve", 1.0)  # it goes on where the other ended
        assert again.code("use:export", "eve") == len(month.persons) * 509 + again.metrics["use:export"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(additions, st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_a_month_that_was_sealed_goes_on_as_if_it_had_not(
    rounds: list[tuple[list[tuple[int, str, str, float]], bool, bool]],
) -> None:
    packed, open_all_along = MonthCells(NAME), MonthCells(NAME)
    documents: list[Month | None] = [None, None]
    for added, absolute, pack in rounds:
        if pack:
            packed.pack()
            assert (packed.packed is not None) == (documents[0] is not None)
            packed.unpack()
        for day, metric, person, amount in added:
            found = []
            for month in (packed, open_all_along):
                fold = month.set_total if absolute else month.add
                found.append(list(fold(FIRST + day, *month.kept(FIRST + day, metric, person), amount)))
            assert found[0] == found[1]
        documents = [stored(month, before) for month, before in zip((packed, open_all_along), documents, strict=True)]
        assert documents[0] == documents[1]
        assert counters_of(packed) == counters_of(open_all_along)
        assert (packed.bytes, packed.uses) == (open_all_along.bytes, open_all_along.uses)


def test_scores_are_recorded_in_a_sealed_month() -> None:
    month = MonthCells(NAME)
    month.add(FIRST, "use:export", "ana", 1)
    row = Row(0, 0, state())
    row.cells[NAME] = again = MonthCells.load(stored(month))
    row.unrecorded = {FIRST: (1.0, 2.0), FIRST + 1: (5.0, 6.0)}
    row.record_scores(FIRST, (3.0, None))
    assert (again.packed is not None, again.changed, again.scores_alone) == (True, True, True)
    assert again.fields() == {"scores.d1": [3.0, None]}
    assert row.unrecorded == {FIRST + 1: (5.0, 6.0)}
    again.stored()
    again.unpack()
    again.add(FIRST, "use:export", "ana", 1)
    assert again.fields() == {"days.d1": [[509], [2.0]]}  # no names: they are in the document


def test_what_is_not_stored_is_not_sealed() -> None:
    month = MonthCells(NAME)
    month.add(FIRST, "use:export", "ana", 1)
    month.pack()
    assert month.packed is None
    stored(month)
    heavy = month.weight
    month.pack()
    assert month.packed is not None
    assert month.weight < heavy
    again = month.packed
    month.pack()
    assert month.packed is again
