"""What is shown of a relationship beside its verdicts.

Windows, the sparkline and scores are in its state, as of its clock; its features are made up when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from shared.domain.columns.block import Block
from shared.domain.columns.months import Month
from shared.domain.columns.row import INBOUND, OUTBOUND, USAGE, Row
from shared.domain.relationship.state import RelationshipState, Windows
from shared.domain.rules.baseline import days_needed, levels
from shared.domain.rules.usage import DropParams
from shared.domain.scores.formulas import score_columns

WINDOWS = (7, 30, 90, 365)  # days
SPARK_DAYS = 30
USUAL = DropParams()  # a feature's use is shown over the window, and against the baseline, of the built-in rules
FEATURE_DAYS = days_needed(USUAL.window_days, USUAL.baseline_weeks)
_EARLY_DAYS = 2  # events come up to 24 hours ahead of the clock


def refresh(block: Block, rows: Sequence[Row]) -> None:
    """Renew windows, sparkline, scores and due moments of these rows: a pure function of what has been folded."""
    if not rows:
        return
    view = block.view(rows, [row.state.clock for row in rows])
    totals = (USAGE, INBOUND, OUTBOUND)
    sums = [np.stack([view.window(which, days) for days in WINDOWS], axis=1).tolist() for which in totals]
    people = np.stack([view.people(days) for days in WINDOWS], axis=1).tolist()
    use, inbound, outbound = (view.series(which).counts(SPARK_DAYS) for which in totals)
    spark = (use + inbound + outbound)[:, ::-1].tolist()
    shown = zip(rows, *sums, people, spark, score_columns(view).rows(), strict=True)
    for row, used, came, went, active, days, (scores, numbers) in shown:
        state = row.state
        state.due = block.dues(row)
        state.windows = Windows(tuple(used), tuple(came), tuple(went), tuple(active))
        state.spark = tuple(days)
        state.scores = scores
        state.numbers = numbers


def features(state: RelationshipState, months: Iterable[Month]) -> dict[str, tuple[float, float]]:
    """Uses of each feature in the last 7 days, and how many are usual in 7 days, as of the state's clock.

    `months` must reach back FEATURE_DAYS from there.
    """
    block = Block(FEATURE_DAYS + _EARLY_DAYS, capacity=1)
    view = block.view([block.add(state, months)], [state.clock])
    position, slots, series = view.features(np.arange(1))
    used = np.flatnonzero(series.used(FEATURE_DAYS))
    found = levels(series.take(used), view.elapsed[position[used]], USUAL.window_days, USUAL.baseline_weeks)
    names = [view.feature_name(0, slot) for slot in slots[used].tolist()]
    return {
        name: (round(float(seen), 2), round(float(usual), 2))
        for name, seen, usual in zip(names, found.seen, np.nan_to_num(found.expected), strict=True)
    }
