"""What a head shows beside its verdicts: windows, the sparkline, features now and usual, as of the row's clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.domain.baseline import compare, days_needed
from shared.domain.block import INBOUND, OUTBOUND, USAGE, Block, Row
from shared.domain.playbooks import DropParams, Playbook
from shared.domain.relationship import Windows
from shared.domain.scores import score
from shared.domain.verdicts import Rule

WINDOWS = (7, 30, 90, 365)  # days
SPARK_DAYS = 30


def refresh(block: Block, rows: Sequence[Row], playbook: Playbook) -> None:
    """Renew windows, sparkline, features and scores of these rows: a pure function of what has been folded."""
    if not rows:
        return
    view = block.view(rows, [row.head.clock for row in rows])
    use, inbound, outbound = (view.total(which, max(WINDOWS)) for which in (USAGE, INBOUND, OUTBOUND))
    sums = [[counts[:, :days].sum(axis=1) for days in WINDOWS] for counts in (use, inbound, outbound)]
    people = [view.people(days) for days in WINDOWS]
    spark = (use + inbound + outbound)[:, SPARK_DAYS - 1 :: -1]
    scores = score(view)
    for at, row in enumerate(rows):
        head = row.head
        head.windows = Windows(
            usage=_four(sums[0], at),
            inbound=_four(sums[1], at),
            outbound=_four(sums[2], at),
            people=(int(people[0][at]), int(people[1][at]), int(people[2][at]), int(people[3][at])),
        )
        head.spark = tuple(float(count) for count in spark[at])
        head.scores = scores[at]
        head.features = {}
    params = playbook.params(Rule.FEATURE_DECLINE, DropParams)
    position, names, counts = view.features(days_needed(params.window_days, params.baseline_weeks))
    found = compare(counts, view.elapsed[position], params.window_days, params.baseline_weeks)
    for at, name, seen, usual in zip(position, names, found.seen, np.nan_to_num(found.expected), strict=True):
        rows[at].head.features[name] = (round(float(seen), 2), round(float(usual), 2))


def _four(columns: list[np.ndarray[tuple[int], np.dtype[np.float64]]], at: int) -> tuple[float, float, float, float]:
    first, second, third, fourth = (float(column[at]) for column in columns)
    return first, second, third, fourth
