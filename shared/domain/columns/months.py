"""Daily counters: per metric, person and day, kept in one document a relationship and month."""

from __future__ import annotations

import msgspec

from shared.domain.contract.days import Day, day_number
from shared.domain.relationship.fence import Fenced

# A metric is what is counted: "use:FEATURE" for usage, "in:CHANNEL", "out:CHANNEL", "both:CHANNEL" for touchpoints.
USE = "use:"

METRICS_MOST = 509  # metrics in one month; a prime, so that codes spread well over a hash table


class Month(Fenced, omit_defaults=True, kw_only=True):
    """The counters of one relationship in one month (collection `months`, `_id` = `tenant/relationship/YYYY-MM`).

    `metrics` and `persons` are those met, in order of appearance; the first person is always "" (nobody in particular).
    `days` maps the day of the month ("d1".."d31": a key that is a number would be taken for a place in a list) to two
    lists: codes, each made of the places of a person and a metric (see `code_parts`), and their counts.
    `scores` maps the day of the month to `[RI index, RV index]` of the last canonical evaluation on that day.
    """

    id: str
    tenant: str
    relationship: str
    month: str
    metrics: list[str] = msgspec.field(default_factory=list)
    persons: list[str] = msgspec.field(default_factory=lambda: [""])
    days: dict[str, tuple[list[int], list[float]]] = msgspec.field(default_factory=dict)
    scores: dict[str, list[float | None]] = msgspec.field(default_factory=dict)


def month_id(tenant: str, relationship: str, month: str) -> str:
    """The `_id` of a month's document."""
    return f"{tenant}/{relationship}/{month}"


class Cell(msgspec.Struct, frozen=True):
    """One counter read back."""

    metric: str
    person: str
    day: Day
    count: float


def cells_of(month: Month) -> list[Cell]:
    """All counters of a month document."""
    first = day_number(month.month + "-01")
    found = []
    for name, (codes, counts) in month.days.items():
        day = first + int(name[1:]) - 1
        for code, count in zip(codes, counts, strict=True):
            person, metric = code_parts(code)
            found.append(Cell(month.metrics[metric], month.persons[person], day, count))
    return found


def code_parts(code: int) -> tuple[int, int]:
    """The places of a counter's person and metric among those of its month."""
    return divmod(code, METRICS_MOST)
