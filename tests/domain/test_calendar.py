"""Business time: 2026-06-05 is a Friday, 2026-06-08 the Monday after it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.contract.calendar import (
    add_business_days,
    business_clock,
    business_days_between,
    subtract_business_days,
)
from shared.domain.contract.events import DAY, HOUR
from tests.domain.builders import at

MOMENTS = st.integers(0, 40_000 * DAY)


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-06-01T09:00:00Z", 0, "2026-06-01T09:00:00Z"),
        ("2026-06-01T09:00:00Z", 1, "2026-06-02T09:00:00Z"),
        ("2026-06-05T18:00:00Z", 1, "2026-06-08T18:00:00Z"),  # Friday evening → Monday evening
        ("2026-06-05T00:00:00Z", 1, "2026-06-06T00:00:00Z"),  # the end of Friday, not the start of Monday
        ("2026-06-06T13:00:00Z", 0, "2026-06-06T13:00:00Z"),
        ("2026-06-06T13:00:00Z", 1, "2026-06-09T00:00:00Z"),  # Saturday counts as Monday 0:00
        ("2026-06-07T23:00:00Z", 0.5, "2026-06-08T12:00:00Z"),
        ("2026-06-03T12:00:00Z", 5, "2026-06-10T12:00:00Z"),
        ("2026-06-05T18:00:00Z", 7.5, "2026-06-17T06:00:00Z"),  # 6 h of Friday, 5 days of a week, then 2 days 6 h
        ("1970-01-01T00:00:00Z", 2, "1970-01-03T00:00:00Z"),  # a Thursday: its week ends before the first Monday
    ],
)
def test_adding(start: str, days: float, end: str) -> None:
    assert add_business_days(at(start), days) == at(end)


@pytest.mark.parametrize(
    ("end", "days", "start"),
    [
        ("2026-06-03T09:00:00Z", 1, "2026-06-02T09:00:00Z"),
        ("2026-06-08T09:00:00Z", 1, "2026-06-05T09:00:00Z"),  # Monday morning → Friday morning
        ("2026-06-07T09:00:00Z", 1, "2026-06-05T00:00:00Z"),  # Sunday: the whole of Friday is left
        ("2026-06-08T09:00:00Z", 0.375, "2026-06-08T00:00:00Z"),  # 9 h
        ("2026-06-08T09:00:00Z", 0, "2026-06-08T09:00:00Z"),
        ("2026-06-07T09:00:00Z", 0, "2026-06-07T09:00:00Z"),
        ("1970-01-05T00:00:00Z", 1, "1970-01-02T00:00:00Z"),
    ],
)
def test_subtracting(end: str, days: float, start: str) -> None:
    assert subtract_business_days(at(end), days) == at(start)


@pytest.mark.parametrize(
    ("earlier", "later", "days"),
    [
        ("2026-06-01", "2026-06-02", 1),
        ("2026-06-05", "2026-06-08", 1),
        ("2026-06-06", "2026-06-07", 0),
        ("2026-06-05T12:00:00Z", "2026-06-08T12:00:00Z", 1),
        ("2026-06-01", "2026-06-15", 10),
        ("2026-06-02", "2026-06-01", -1),
    ],
)
def test_between(earlier: str, later: str, days: float) -> None:
    assert business_days_between(at(earlier), at(later)) == days


def test_every_day_is_a_business_day_for_whoever_says_so() -> None:
    friday = at("2026-06-05T18:00:00Z")
    assert add_business_days(friday, 1, everyday=True) == friday + DAY
    assert subtract_business_days(friday, 1.5, everyday=True) == friday - 36 * HOUR
    assert business_days_between(friday, friday + 3 * DAY, everyday=True) == 3


@settings(max_examples=50, deadline=None)
@given(MOMENTS, st.integers(0, 400 * 24), st.booleans())
def test_adding_is_the_inverse_of_between(start: int, hours: int, everyday: bool) -> None:
    end = add_business_days(start, hours / 24, everyday)
    assert business_clock(end, everyday) - business_clock(start, everyday) == hours * HOUR
    if hours:  # the first such moment
        assert business_clock(end - 1, everyday) - business_clock(start, everyday) == hours * HOUR - 1


@settings(max_examples=50, deadline=None)
@given(MOMENTS, st.integers(0, 400 * 24), st.booleans())
def test_subtracting_is_the_inverse_of_between(end: int, hours: int, everyday: bool) -> None:
    start = subtract_business_days(end, hours / 24, everyday)
    assert business_clock(end, everyday) - business_clock(start, everyday) == hours * HOUR
    if hours:  # the last such moment
        assert business_clock(end, everyday) - business_clock(start + 1, everyday) == hours * HOUR - 1


@settings(max_examples=50, deadline=None)
@given(MOMENTS, st.integers(0, 30 * DAY))
def test_the_clock_never_runs_backwards_nor_faster_than_time(start: int, span: int) -> None:
    assert 0 <= business_clock(start + span) - business_clock(start) <= span
