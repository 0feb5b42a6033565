"""Use in a trailing window against the same weekdays before: what was seen, what was to be expected, how surely."""

from __future__ import annotations

from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_WEEKS = 2  # fewer weeks of history are no baseline


class Comparison(msgspec.Struct, frozen=True):
    """One entry a series. `expected` is NaN where there is no baseline; `z` is in standard deviations."""

    seen: Floats
    expected: Floats
    z: Floats
    weeks: NDArray[np.int64]  # weeks of history the baseline rests on
    active_weeks: NDArray[np.int64]  # of these, weeks with any use


def days_needed(window_days: int, weeks: int) -> int:
    """How many days of counts, today included, a comparison looks at."""
    return window_days + 1 + 7 * weeks


def compare(counts: Floats, elapsed: Floats, window_days: int, weeks: int) -> Comparison:
    """Compare the last `window_days` × 24 h with the `weeks` before them.

    `counts`: shape (series, days_needed), today first; `elapsed`: share of today that has passed. The window ends now:
    it holds today so far, whole days, and the rest of the day it began on (in proportion). `expected` gives the same
    hours at each weekday's mean over the baseline; weeks before the first use are left out of it. `z` is the
    difference in standard deviations of a quasi-Poisson count whose dispersion is estimated from the baseline's
    residuals (McCullagh & Nelder, Generalized Linear Models, 1989, ch. 6), never below Poisson's own.
    """
    weight = np.ones((len(counts), window_days + 1))
    weight[:, window_days] = 1 - elapsed
    window = counts[:, : window_days + 1]
    seen = (window * weight).sum(axis=1)
    weight[:, 0] = elapsed

    history = counts[:, window_days + 1 :].reshape(len(counts), weeks, 7)  # [., week, k]: window_days + 1 + k days ago
    used = counts > 0
    first = np.where(used.any(axis=1), counts.shape[1] - 1 - np.argmax(used[:, ::-1], axis=1), 0)
    known = np.clip((first - window_days) // 7, 0, weeks)
    counted = np.arange(weeks)[None, :] < known[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (history * counted[:, :, None]).sum(axis=1) / known[:, None]
        # day i of the window has the weekday of k = i - window_days - 1 modulo 7
        expected = (weight * mean[:, (np.arange(window_days + 1) - window_days - 1) % 7]).sum(axis=1)
        residual = ((history - mean[:, None, :]) ** 2 / np.maximum(mean[:, None, :], 0.5)) * counted[:, :, None]
        dispersion = np.maximum(residual.sum(axis=(1, 2)) / (7 * known - 7), 1.0)
        deviation = np.sqrt(dispersion * expected * (1 + 1 / known))
        z = (seen - expected) / deviation
    none = known < LEAST_WEEKS
    expected[none], z[none] = np.nan, np.nan
    active = (history.sum(axis=2) > 0) & counted
    return Comparison(seen=seen, expected=expected, z=z, weeks=known, active_weeks=active.sum(axis=1))


def critical_z(significance: float) -> float:
    """The z below which so little happens by chance with probability `significance` (standard normal)."""
    return NormalDist().inv_cdf(significance)
