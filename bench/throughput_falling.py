"""The past of a few relationships of the throughput bench's log: their use has fallen, and nobody has written lately.

The log begins with it, so that state rules fire at the full hours that its events cross.
"""

from __future__ import annotations

from typing import NamedTuple

SHARE = 0.01  # of the log's records
USED_DAYS = range(37, 8, -1)  # days ago, on each of which was used
USUAL = 500  # that often: many more than what the log itself holds of a relationship and day
WROTE_DAYS = range(40, 19, -4)  # days ago, on which they wrote


class Past(NamedTuple):
    """An event: whose, the days since, and how often a feature was used (0: a message)."""

    who: int
    days_ago: int
    quantity: int


A_RELATIONSHIP = len(USED_DAYS) + len(WROTE_DAYS)  # events


def past(events: int, relationships: int) -> list[Past]:
    """What a log of so many events begins with: relationships spread evenly among all, at least one."""
    count = min(max(1, round(SHARE * events / A_RELATIONSHIP)), relationships)
    whose = [number * relationships // count for number in range(count)]
    return [
        Past(who, ago, USUAL if days is USED_DAYS else 0)
        for who in whose
        for days in (WROTE_DAYS, USED_DAYS)
        for ago in days
    ]
