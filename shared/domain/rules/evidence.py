"""Evidence that several rules give."""

from __future__ import annotations

import numpy as np

from shared.domain.columns.view import View
from shared.domain.contract.days import Day, day_name, day_of
from shared.domain.relationship.flags import Counter, Evidence


def daily_uses(view: View, position: int, feature: str, days: int, first_share: float = 1.0) -> Evidence:
    """The daily uses of a feature ("" for all) over the last `days` days, of whose first one only a share counts.

    Days without any are evidence, too: a drop is made of them. Left out are those before anything was known of the
    relationship, and today where nothing has passed of it yet.
    """
    counts, today = view.daily(position, feature, days), int(view.day[position])
    known_since, begun = _known_since(view, position, feature, days), float(view.elapsed[position]) > 0
    shares = {days - 1: first_share}
    oldest_first = reversed(list(enumerate(counts.tolist())))
    return Evidence(
        counters=tuple(
            Counter(feature, day_name(today - ago), count, share=shares.get(ago, 1.0))
            for ago, count in oldest_first
            if count or (today - ago >= known_since and (ago or begun))
        )
    )


def _known_since(view: View, position: int, feature: str, days: int) -> Day:
    """The day of the first event, or of the first use if that is earlier: totals may come later than their days."""
    today, first_seen = int(view.day[position]), view.rows[position].state.first_seen
    used = np.flatnonzero(view.daily(position, feature, max(days, view.columns.feature_days)))
    known = [day_of(first_seen)] if first_seen else []
    return min([*known, *(today - used[-1:]).tolist()], default=today + 1)
