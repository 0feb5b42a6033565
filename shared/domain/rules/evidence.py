"""Evidence that several rules give."""

from __future__ import annotations

import numpy as np

from shared.domain.columns.view import View
from shared.domain.contract.days import day_name
from shared.domain.relationship.flags import Counter, Evidence


def daily_uses(view: View, position: int, feature: str, days: int, first_share: float = 1.0) -> Evidence:
    """The daily uses of a feature ("" for all) over the last `days` days, of whose first one only a share counts."""
    counts, today = view.daily(position, feature, days), int(view.day[position])
    used = np.flatnonzero(counts)[::-1].tolist()
    shares = {days - 1: first_share}
    return Evidence(
        counters=tuple(
            Counter(feature, day_name(today - ago), float(counts[ago]), share=shares.get(ago, 1.0)) for ago in used
        )
    )
