"""Daily counters: per metric, person and day, kept in one document a relationship and month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from shared.domain.events import DAY, Millis
from shared.domain.fence import Fenced

# A metric is what is counted: "use:FEATURE" for usage, "in:CHANNEL", "out:CHANNEL", "both:CHANNEL" for touchpoints.
USE = "use:"

Day = int
"""Days since 1970-01-01 (UTC)."""


def day_of(at: Millis) -> Day:
    """The UTC day a moment lies in."""
    return at // DAY


def day_name(day: Day) -> str:
    """`YYYY-MM-DD`."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def day_number(name: str) -> Day:
    """The inverse of `day_name`; ValueError if it is not a date."""
    return date.fromisoformat(name).toordinal() - 719_163


def month_of(day: Day) -> str:
    """`YYYY-MM`, the chunk a day is stored in."""
    return day_name(day)[:7]


def iso(at: Millis) -> str:
    """RFC 3339 in UTC with milliseconds, as the API writes times."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Month(Fenced, omit_defaults=True, kw_only=True):
    """The counters of one relationship in one month (collection `months`, `_id` = `tenant/relationship/YYYY-MM`).

    `names` are the metrics and persons met, in order of appearance; `days` maps the day of the month ("1".."31") to a
    flat list `metric index, person index, count, …`. Person index 0 is always "" (nobody in particular).
    `scores` maps the day of the month to `[RI index, RV index]` of the last canonical evaluation on that day.
    """

    id: str
    tenant: str
    relationship: str
    month: str
    names: list[str] = msgspec.field(default_factory=lambda: [""])
    days: dict[str, list[float]] = msgspec.field(default_factory=dict)
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
    for number, flat in month.days.items():
        day = first + int(number) - 1
        for at in range(0, len(flat), 3):
            metric, person = month.names[int(flat[at])], month.names[int(flat[at + 1])]
            found.append(Cell(metric, person, day, flat[at + 2]))
    return found
