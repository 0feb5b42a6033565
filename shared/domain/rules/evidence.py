"""Evidence that several rules give."""

from __future__ import annotations

from shared.domain.columns.view import View
from shared.domain.contract.days import day_name
from shared.domain.relationship.flags import Counter, Evidence


def daily_uses(view: View, position: int, feature: str, days: int, first_share: float = 1.0) -> Evidence:
    """The daily uses of a feature ("" for all) over the last `days` days, of whose first one only a share counts."""
    counts, today = view.daily(position, feature, days), int(view.day[position])
    shares = {days - 1: first_share}
    oldest_first = reversed(list(enumerate(counts.tolist())))
    return Evidence(
        counters=tuple(
            Counter(feature, day_name(today - ago), count, share=shares.get(ago, 1.0))
            for ago, count in oldest_first
            if count
        )
    )
