"""Days of the UTC calendar, by number and by name, and how the API writes moments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from shared.domain.contract.events import DAY, Millis

Day = int
"""Days since 1970-01-01 (UTC)."""


def day_of(at: Millis) -> Day:
    """The UTC day a moment lies in."""
    return at // DAY


@lru_cache(maxsize=4096)
def day_name(day: Day) -> str:
    """`YYYY-MM-DD`."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def day_number(name: str) -> Day:
    """The inverse of `day_name`; ValueError if it is not a date."""
    return date.fromisoformat(name).toordinal() - 719_163


@lru_cache(maxsize=4096)
def month_of(day: Day) -> str:
    """`YYYY-MM`, the chunk a day is stored in."""
    return day_name(day)[:7]


def iso(at: Millis) -> str:
    """RFC 3339 in UTC with milliseconds, as the API writes times."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def day_field(day: Day) -> str:
    """The key of a day in its month's document: `d1` to `d31`."""
    return f"d{int(day_name(day)[8:])}"
