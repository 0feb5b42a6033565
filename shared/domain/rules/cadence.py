"""How often a relationship gets in touch, learned from its own inbound days, and when its silence is too long."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from shared.domain.contract.events import DAY, Millis
from shared.domain.playbooks.model import SilenceParams
from shared.domain.relationship.facts import Facts
from shared.domain.rules.calendar import add_business_days, business_days_between

LEARNED_FROM_DAYS = 365  # the year before the latest inbound touch


def usual_gap(inbound_days: tuple[int, ...], everyday: bool) -> tuple[float, float, int]:
    """Median and 95th percentile of the gaps between inbound days, in business days, and how many gaps there were.

    Quantiles are of Hyndman & Fan type 7 (numpy's default). No gaps: (0, 0, 0).
    """
    if len(inbound_days) < 2:
        return 0.0, 0.0, 0
    days = [day for day in inbound_days if day >= inbound_days[-1] - LEARNED_FROM_DAYS]
    gaps = [business_days_between(earlier * DAY, later * DAY, everyday) for earlier, later in pairwise(days)]
    if not gaps:
        return 0.0, 0.0, 0
    middle, high = np.quantile(gaps, [0.5, 0.95])
    return float(middle), float(high), len(gaps)


def silence_due(facts: Facts, everyday: bool, params: SilenceParams) -> tuple[Millis, float, float]:
    """When silence is too long (0: no cadence is known yet), the limit and the usual gap, in business days.

    limit = max(minimum_days, factor × 95th percentile of the gaps): beyond what this relationship has been before.
    """
    usual, high, gaps = usual_gap(facts.inbound_days, everyday)
    if gaps < params.minimum_touches:
        return 0, 0.0, usual
    limit = max(params.minimum_days, params.factor * high)
    return add_business_days(facts.last_in, limit, everyday), limit, usual
