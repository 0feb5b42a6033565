from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.months import Cell, Month, cells_of, month_id
from shared.domain.contract.days import day_field, day_name, day_number, day_of, iso, month_of


def test_days_by_hand() -> None:
    assert day_of(0) == 0
    assert day_of(86_399_999) == 0
    assert day_of(-1) == -1
    assert day_name(20_605) == "2026-06-01"  # 56 years × 365 + 14 leap days = 20,454 to 2026-01-01; + 151
    assert month_of(20_605) == "2026-06"
    assert month_of(20_604) == "2026-05"
    assert iso(1_780_304_400_007) == "2026-06-01T09:00:00.007Z"
    assert (day_field(20_605), day_field(20_604)) == ("d1", "d31")
    assert month_id("acme", "acct-1", "2026-06") == "acme/acct-1/2026-06"


@settings(max_examples=30, deadline=None)
@given(st.integers(-100_000, 100_000))
def test_names_and_numbers_of_days_are_inverse(day: int) -> None:
    assert day_number(day_name(day)) == day


def test_cells_of_a_document() -> None:
    month = Month(
        id="acme/acct-1/2026-02",
        tenant="acme",
        relationship="acct-1",
        month="2026-02",
        metrics=["in:email", "use:export"],
        persons=["", "ana"],
        days={"d1": ([1 * 509 + 1, 1, 1 * 509 + 0], [3.0, 2.5, 4.0]), "d28": ([1 * 509 + 1], [1.0])},
    )
    first = day_number("2026-02-01")
    assert cells_of(month) == [
        Cell("use:export", "ana", first, 3.0),
        Cell("use:export", "", first, 2.5),
        Cell("in:email", "ana", first, 4.0),
        Cell("use:export", "ana", first + 27, 1.0),
    ]
