"""Use in a trailing window against the same weekdays before: what was seen, what was to be expected, how surely."""

from __future__ import annotations

from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.series import Series, kernels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Levels(msgspec.Struct, frozen=True):
    """One entry a series: uses seen in the window, and how many were to be expected (NaN where there is no baseline).

    `weeks`: of history that the baseline rests on. `..._by_midnight`: the same at the end of today (UTC), if nothing
    more is used; in between both go in a straight line.
    """

    seen: Floats
    expected: Floats
    weeks: Ints
    seen_by_midnight: Floats
    expected_by_midnight: Floats


class Comparison(msgspec.Struct, frozen=True):
    """One entry a series: the levels, and how far apart they are. `z` is in standard deviations."""

    seen: Floats
    expected: Floats
    weeks: Ints
    z: Floats
    active_weeks: Ints  # of the baseline's weeks, those with any use


def days_needed(window_days: int, weeks: int) -> int:
    """How many days of counts, today included, a comparison looks at."""
    return window_days + 1 + 7 * weeks


def levels(series: Series, elapsed: Floats, window_days: int, weeks: int) -> Levels:
    """The last `window_days` × 24 h, and what the `weeks` before them let expect.

    `elapsed`: share of today that has passed. The window ends now: it holds today so far, whole days, and the rest of
    the day it began on (in proportion). `expected` gives the same hours at each weekday's mean over the baseline; weeks
    before the first use are left out of it, and fewer than two are no baseline.
    """
    found, known = kernels().levels(*series, elapsed, window_days, weeks)
    seen, expected, seen_by_midnight, expected_by_midnight = found
    return Levels(seen, expected, known, seen_by_midnight, expected_by_midnight)


def compare(series: Series, elapsed: Floats, window_days: int, weeks: int) -> Comparison:
    """The levels (see there), and how surely they differ.

    `z` is the difference in standard deviations of a quasi-Poisson count whose dispersion is estimated from the
    baseline's residuals (McCullagh & Nelder, Generalized Linear Models, 1989, ch. 6), never below Poisson's own.
    """
    found = levels(series, elapsed, window_days, weeks)
    known = found.weeks
    spread, active = kernels().spreads(*series, window_days, known)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.maximum(spread / (7 * known - 7), 1.0)
        z = (found.seen - found.expected) / np.sqrt(dispersion * found.expected * (1 + 1 / known))
    return Comparison(found.seen, found.expected, known, z, active)


def critical_z(significance: Floats) -> Floats:
    """The z below which so little happens by chance with these probabilities (standard normal)."""
    distinct, which = np.unique(significance, return_inverse=True)
    limits: Floats = np.array([NormalDist().inv_cdf(share) for share in distinct.tolist()])[which]
    return limits
