"""Use in a trailing window against the same weekdays before: what was seen, what was to be expected, how surely."""

from __future__ import annotations

from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.view import DIGITS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_WEEKS = 2  # fewer weeks of history are no baseline
_LAST = 8  # days at the far end of the history, where the first use of most lies


class Levels(msgspec.Struct, frozen=True):
    """One entry a series: uses seen in the window, and how many were to be expected (NaN where there is no baseline).

    `weeks`: of history that the baseline rests on.
    """

    seen: Floats
    expected: Floats
    weeks: Ints


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


def levels(counts: Floats, elapsed: Floats, window_days: int, weeks: int) -> Levels:
    """The last `window_days` × 24 h, and what the `weeks` before them let expect.

    `counts`: shape (series, days_needed), today first; `elapsed`: share of today that has passed. The window ends now:
    it holds today so far, whole days, and the rest of the day it began on (in proportion). `expected` gives the same
    hours at each weekday's mean over the baseline; weeks before the first use are left out of it. Both are the same
    numbers whatever other series there are: sums are rounded, or go in one order (a product of matrices has none).
    """
    by_day = np.asfortranarray(counts).T
    seen = by_day[:window_days].sum(axis=0).round(DIGITS) + by_day[window_days] * (1 - elapsed)
    known = _known_weeks(counts, window_days, weeks)
    sums = _weekday_sums(by_day[window_days + 1 :].reshape(weeks, 7, len(counts)), known)
    # day i of the window has the weekday of k = i - window_days - 1 modulo 7; k: days before the window began
    whole = np.bincount((np.arange(1, window_days) - window_days - 1) % 7, minlength=7)
    usual = elapsed * sums[(-window_days - 1) % 7] + (1 - elapsed) * sums[6]
    for k in np.flatnonzero(whole).tolist():
        usual += whole[k] * sums[k]
    expected = usual / np.maximum(known, 1)  # at the end: of whole numbers it is exact
    expected[known < LEAST_WEEKS] = np.nan
    return Levels(seen, expected, known)


def compare(counts: Floats, elapsed: Floats, window_days: int, weeks: int) -> Comparison:
    """The levels (see there), and how surely they differ.

    `z` is the difference in standard deviations of a quasi-Poisson count whose dispersion is estimated from the
    baseline's residuals (McCullagh & Nelder, Generalized Linear Models, 1989, ch. 6), never below Poisson's own.
    """
    counts = np.ascontiguousarray(counts)  # so that residuals are added up in one order
    found = levels(counts, elapsed, window_days, weeks)
    history, known = _history(counts, window_days, weeks), found.weeks
    counted = np.arange(weeks)[None, :] < known[:, None]
    mean = _weekday_sums(history.transpose(1, 2, 0), known).T / np.maximum(known, 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = ((history - mean[:, None, :]) ** 2 / np.maximum(mean[:, None, :], 0.5)) * counted[:, :, None]
        dispersion = np.maximum(residual.sum(axis=(1, 2)) / (7 * known - 7), 1.0)
        z = (found.seen - found.expected) / np.sqrt(dispersion * found.expected * (1 + 1 / known))
    z[known < LEAST_WEEKS] = np.nan
    active = (history.sum(axis=2) > 0) & counted
    return Comparison(found.seen, found.expected, known, z, active.sum(axis=1))


def critical_z(significance: Floats) -> Floats:
    """The z below which so little happens by chance with these probabilities (standard normal)."""
    distinct, which = np.unique(significance, return_inverse=True)
    limits: Floats = np.array([NormalDist().inv_cdf(share) for share in distinct.tolist()])[which]
    return limits


def _history(counts: Floats, window_days: int, weeks: int) -> Floats:
    """Shape (series, week, k): window_days + 1 + 7 × week + k days ago."""
    return counts[:, window_days + 1 :].reshape(len(counts), weeks, 7)


def _known_weeks(counts: Floats, window_days: int, weeks: int) -> Ints:
    """How many whole weeks before the window there are since the first use."""
    days = counts.shape[1]
    first = _first_use(counts[:, -_LAST:]) + days - _LAST
    recent = np.flatnonzero(first < days - _LAST)
    first[recent] = _first_use(counts[recent])
    known: Ints = np.clip((first - window_days) // 7, 0, weeks)
    return known


def _first_use(counts: Floats) -> Ints:
    """How many days ago the first use was, today first; -1 without any."""
    used = counts[:, ::-1] > 0
    first: Ints = np.where(used.any(axis=1), counts.shape[1] - 1 - np.argmax(used, axis=1), -1)
    return first


def _weekday_sums(history: Floats, known: Ints) -> Floats:
    """What each weekday has over the known weeks, of a history of shape (week, k, series): shape (7, series)."""
    sums = history.sum(axis=0)
    part = np.flatnonzero(known < len(history))  # began within a week, which does not count; none before it has any
    sums[:, part] = np.maximum(sums[:, part] - history[known[part], :, part].T, 0)
    rounded: Floats = sums.round(DIGITS)
    return rounded
