"""Business time: Monday to Friday in UTC, or every day for a relationship whose calendar says so.

A moment on a day off counts as the first moment of the next business day.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.domain.contract.days import Day
from shared.domain.contract.events import DAY, Millis

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EVERYDAY = "everyday"  # the value of a relationship's custom field "calendar" that makes every day a business day

_MONDAY = 4  # 1970-01-05, the first Monday, is day 4


def business_clock(at: Millis, everyday: bool = False) -> Millis:
    """Business milliseconds from the epoch's first Monday up to `at`; it stands still on days off."""
    if everyday:
        return at
    since = at - _MONDAY * DAY
    weeks, within = divmod(since, 7 * DAY)
    return weeks * 5 * DAY + min(within, 5 * DAY)


def add_business_days(at: Millis, days: float, everyday: bool = False) -> Millis:
    """The first moment at which `days` business days have passed since `at` (days ≥ 0, fractions allowed)."""
    span = round(days * DAY)
    if everyday:
        return at + span
    weeks, within = divmod(business_clock(at) + span, 5 * DAY)
    if within == 0:  # the end of a Friday rather than the start of a Monday
        weeks, within = weeks - 1, 5 * DAY
    return max(at, _MONDAY * DAY + weeks * 7 * DAY + within)


def subtract_business_days(at: Millis, days: float, everyday: bool = False) -> Millis:
    """The last moment from which `days` business days pass until `at` (days ≥ 0, fractions allowed)."""
    span = round(days * DAY)
    if everyday:
        return at - span
    weeks, within = divmod(business_clock(at) - span, 5 * DAY)
    return min(at, _MONDAY * DAY + weeks * 7 * DAY + within)


def business_days_between(earlier: Millis, later: Millis, everyday: bool = False) -> float:
    """Business days from `earlier` to `later`, with fractions."""
    return (business_clock(later, everyday) - business_clock(earlier, everyday)) / DAY


@lru_cache(maxsize=1 << 16)
def business_days_before(day: Day, everyday: bool = False) -> int:
    """Business days from the epoch's first Monday up to the beginning of a day."""
    if everyday:
        return day
    weeks, within = divmod(day - _MONDAY, 7)
    return weeks * 5 + min(within, 5)


# --- the same for many at once: one entry a relationship -----------------------------------------------------------


def business_clocks(at: Ints, everyday: Bools) -> Ints:
    """`business_clock` of each."""
    weeks, within = np.divmod(at - _MONDAY * DAY, 7 * DAY)
    return np.where(everyday, at, weeks * 5 * DAY + np.minimum(within, 5 * DAY))


def business_days_since(earlier: Ints, later: Ints, everyday: Bools) -> Floats:
    """`business_days_between` of each pair."""
    days: Floats = (business_clocks(later, everyday) - business_clocks(earlier, everyday)) / DAY
    return days


def business_days_after(at: Ints, days: Floats, everyday: Bools) -> Ints:
    """`add_business_days` to each."""
    span = np.rint(days * DAY).astype(np.int64)
    weeks, within = np.divmod(business_clocks(at, np.zeros_like(everyday)) + span, 5 * DAY)
    friday = within == 0  # the end of a Friday rather than the start of a Monday
    weeks, within = weeks - friday, np.where(friday, 5 * DAY, within)
    return np.where(everyday, at + span, np.maximum(at, _MONDAY * DAY + weeks * 7 * DAY + within))
