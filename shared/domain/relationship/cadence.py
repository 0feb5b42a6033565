"""How often a relationship gets in touch, learned from its own inbound days. Kept at hand as facts, not made anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from shared.domain.contract.calendar import business_days_before
from shared.domain.contract.days import Day

LEARNED_FROM_DAYS = 365  # the year before the latest inbound touch


class Cadence(NamedTuple):
    """Median and 95th percentile of the gaps between inbound days, in business days, and how many gaps there were."""

    usual: float = 0.0
    high: float = 0.0
    gaps: int = 0


def cadence(inbound_days: Sequence[Day], everyday: bool) -> Cadence:
    """The cadence that these days (ascending) show; without gaps nothing.

    Quantiles are of Hyndman & Fan type 7 (numpy's default).
    """
    if len(inbound_days) < 2:
        return Cadence()
    first = inbound_days[-1] - LEARNED_FROM_DAYS
    counted = [business_days_before(day, everyday) for day in inbound_days if day >= first]
    gaps = sorted(later - earlier for earlier, later in pairwise(counted))
    if not gaps:
        return Cadence()
    return Cadence(_quantile(gaps, 0.5), _quantile(gaps, 0.95), len(gaps))


def _quantile(ordered: Sequence[int], share: float) -> float:
    place = (len(ordered) - 1) * share
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = place - below
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
