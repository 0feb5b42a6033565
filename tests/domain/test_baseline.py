"""Use against the same weekdays before, by hand and against a slow reference."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.series import Series
from shared.domain.rules.baseline import Comparison, compare, critical_z, days_needed


def one(counts: list[float], elapsed: float, window: int, weeks: int) -> Comparison:
    """The comparison of a single series, today first; missing days had nothing."""
    padded = [*counts, *[0.0] * (days_needed(window, weeks) - len(counts))]
    return compare(Series.of(np.array([padded])), np.array([elapsed]), window, weeks)


def test_days_needed() -> None:
    assert days_needed(7, 8) == 64  # today, 7 days, of which the oldest counts in part, and 56


def test_a_steady_series_by_hand() -> None:
    # 10 a day, 4 weeks, at noon: today 5 so far. seen = 5 + 6 × 10 + half of the day a week ago = 70
    # expected: half of today's weekday's 10, 6 × 10, half of 10 = 70. No residuals: Poisson.
    found = one([5.0, *[10.0] * 35], 0.5, 7, 4)
    assert (found.seen[0], found.expected[0], found.z[0]) == (70, 70, 0)
    assert (found.weeks[0], found.active_weeks[0]) == (4, 4)


def test_a_fall_by_hand() -> None:
    # 10 a day for 4 weeks, nothing for 7 days at midnight: expected 70, dispersion 1 (no residuals),
    # deviation = sqrt(70 × (1 + 1/4)) = sqrt(87.5) = 9.354; z = −70 / 9.354 = −7.483
    found = one([0.0] * 8 + [10.0] * 28, 0.0, 7, 4)
    # at midnight the day the window began on counts in whole: it had nothing either
    assert (found.seen[0], found.expected[0]) == (0, 70)
    assert found.z[0] == pytest.approx(-7.48331)


def test_dispersion_by_hand() -> None:
    # 2 weeks, one weekday with 2 and 6 (mean 4), the others 0: residuals (4 + 4) / 4 = 2 on 2 × 7 − 7 = 7 degrees
    # of freedom: 0.29, raised to Poisson's 1. With 0 and 40 (mean 20): (400 + 400) / 20 = 40 → 40 / 7 = 5.714.
    # k = 6 is 14 days ago: the first week's oldest day, so that two weeks are known (12 + 2 − 7 = 7 … 21 − 7 = 14)
    suppressed = [0.0] * 22
    suppressed[14], suppressed[21] = 6, 2
    found = one(suppressed, 0.0, 7, 2)
    assert found.expected[0] == 4  # day 7 ago has the weekday of days 14 and 21 ago
    assert found.z[0] == pytest.approx(-4 / math.sqrt(1 * 4 * 1.5))
    loud = [0.0] * 22
    loud[14], loud[21] = 0, 40
    found = one(loud, 0.0, 7, 2)
    assert found.z[0] == pytest.approx(-20 / math.sqrt(40 / 7 * 20 * 1.5))
    assert (found.weeks[0], found.active_weeks[0]) == (2, 1)


@pytest.mark.parametrize(("window", "ago"), product((3, 7, 10, 28), range(7)))
def test_weekdays_are_aligned(window: int, ago: int) -> None:
    """Used on one weekday alone, whichever it is: as many as that weekday lies in the window are expected."""
    weeks = 3
    counts = [10.0 if day % 7 == ago else 0.0 for day in range(days_needed(window, weeks))]
    found = one(counts, 0.0, window, weeks)
    # at midnight today has not begun: days 1 … window are in
    inside = [day for day in range(1, window + 1) if day % 7 == ago]
    assert found.expected[0] == 10 * len(inside)
    assert found.seen[0] == 10 * len(inside) + (10 if ago == 0 else 0)  # what has come today is seen all the same
    late = one(counts, 1.0, window, weeks)
    assert late.expected[0] == late.seen[0] == 10 * len([day for day in range(window) if day % 7 == ago])


@pytest.mark.parametrize(
    ("first_ago", "known"), [(7, 0), (13, 0), (14, 1), (20, 1), (21, 2), (28, 3), (34, 3), (35, 4), (40, 4)]
)
def test_weeks_before_the_first_use_do_not_count(first_ago: int, known: int) -> None:
    counts = [4.0] * (first_ago + 1)
    found = one(counts[: days_needed(7, 4)], 0.25, 7, 4)
    assert found.weeks[0] == known
    if known < 2:
        assert np.isnan(found.expected[0])
        assert np.isnan(found.z[0])
    else:
        assert found.expected[0] == 28  # and not less for the weeks in which there was nothing to count


def test_no_use_no_baseline() -> None:
    found = one([], 0.5, 7, 4)
    assert (found.seen[0], found.weeks[0], found.active_weeks[0]) == (0, 0, 0)
    assert np.isnan(found.expected[0])


def test_no_series() -> None:
    found = compare(Series.of(np.zeros((0, days_needed(7, 4)))), np.zeros(0), 7, 4)
    assert len(found.seen) == len(found.z) == 0


def test_critical_z() -> None:
    z = critical_z(np.array([0.01, 0.5, 0.01]))
    assert z.tolist() == pytest.approx([-2.3263, 0, -2.3263], abs=1e-4)


Plain = tuple[float, float, float, int, int]


def reference(counts: list[float], elapsed: float, window: int, weeks: int) -> Plain:
    """The same in plain words: seen, expected, z, known weeks, active weeks."""
    share = dict.fromkeys(range(window + 1), 1.0)
    share[window] = 1 - elapsed
    seen = sum(counts[day] * share[day] for day in share)
    used = [day for day, count in enumerate(counts) if count > 0]
    oldest = max(used, default=0)
    known = 0
    while known < weeks and window + 7 * (known + 1) <= oldest:
        known += 1
    days = list(range(window + 1, window + 1 + 7 * known))
    if known < 2:
        return seen, math.nan, math.nan, known, _active(counts, days)
    mean = {weekday: sum(counts[day] for day in days if day % 7 == weekday) / known for weekday in range(7)}
    share[0] = elapsed
    expected = sum(mean[day % 7] * share[day] for day in share)
    residual = sum((counts[day] - mean[day % 7]) ** 2 / max(mean[day % 7], 0.5) for day in days)
    dispersion = max(residual / (len(days) - 7), 1.0)
    deviation = math.sqrt(dispersion * expected * (1 + 1 / known))
    z = (seen - expected) / deviation if deviation else math.nan
    return seen, expected, z, known, _active(counts, days)


def _active(counts: list[float], days: list[int]) -> int:
    return len({(day - days[0]) // 7 for day in days if counts[day] > 0})


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 30), st.integers(2, 9), st.floats(0, 1))
def test_it_agrees_with_the_reference(data: st.DataObject, window: int, weeks: int, elapsed: float) -> None:
    length = days_needed(window, weeks)
    count = st.integers(0, 50).map(float) | st.just(0.0)
    rows = data.draw(
        st.lists(st.lists(count, min_size=length, max_size=length), min_size=1, max_size=3), label="series"
    )
    for row, since in zip(rows, data.draw(st.lists(st.integers(0, length), min_size=3, max_size=3)), strict=False):
        row[since:] = [0.0] * (length - since)
    found = compare(Series.of(np.array(rows)), np.full(len(rows), elapsed), window, weeks)
    for at, row in enumerate(rows):
        seen, expected, z, known, active = reference(row, elapsed, window, weeks)
        assert found.seen[at] == pytest.approx(seen)
        assert found.expected[at] == pytest.approx(expected, nan_ok=True)
        if expected > 1e-9:
            assert found.z[at] == pytest.approx(z)
        assert (found.weeks[at], found.active_weeks[at]) == (known, active)


TIED = (29, 29, 29, 29, 32)  # Monday to Friday: 148 in all, and 185 on the average of these weeks
USUAL = (
    (38, 38, 38, 37, 36),
    (35, 39, 36, 39, 37),
    (39, 35, 39, 35, 37),
    (35, 39, 36, 35, 39),
    (38, 37, 39, 38, 39),
    (38, 38, 35, 36, 35),
    (37, 38, 35, 36, 36),
)


@pytest.mark.parametrize("others", range(5))
def test_what_is_expected_is_exact_and_the_same_whoever_is_looked_at_with_it(others: int) -> None:
    """On a Saturday, without use on weekends: a fall by exactly a fifth is one."""
    counts = [0.0, *reversed(TIED), 0, 0, *(count for week in reversed(USUAL) for count in (*reversed(week), 0, 0))]
    series = np.array([counts + [0.0] * (days_needed(7, 8) - len(counts))] * (1 + others))
    found = compare(Series.of(series), np.full(1 + others, 0.3), 7, 8)
    assert (found.seen[0], found.expected[0], found.weeks[0]) == (148, 185, 6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.sampled_from([5, 7, 14, 30]), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_every_number_is_the_same_whoever_is_looked_at_with_it(rows: int, window: int, weeks: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    counts = (chance.poisson(9, (rows, days_needed(window, weeks))) * 1.7).round(3)
    elapsed = chance.random(rows)
    together = compare(Series.of(counts), elapsed, window, weeks)
    alone = [compare(Series.of(counts[at : at + 1]), elapsed[at : at + 1], window, weeks) for at in range(rows)]
    for name in Comparison.__struct_fields__:
        found = getattr(together, name)
        assert np.array_equal(found, np.concatenate([getattr(one, name) for one in alone]), equal_nan=True)
