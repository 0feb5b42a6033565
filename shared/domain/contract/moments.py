"""Whether a JSON value can be read as a point in time, and which one: None instead of an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.contract.events import DAY, SECOND, Millis
from shared.domain.contract.times import parse_date_or_moment, parse_moment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def datetime_millis(moment: datetime) -> Millis:
    """Milliseconds of an aware datetime, cut off (not rounded), exact."""
    since = moment - EPOCH
    return since.days * DAY + since.seconds * SECOND + since.microseconds // 1_000


def rfc3339(moment: Millis) -> str:
    """A moment as RFC 3339 in UTC, to the millisecond: 2026-01-31T09:00:00.000Z."""
    return (EPOCH + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_millis(value: Any) -> Millis | None:
    """The moment written as an RFC 3339 time with its offset, or None for anything else."""
    return _read(parse_moment, value)


def moment_millis(value: Any) -> Millis | None:
    """The moment written as an RFC 3339 time with its offset or as a day, or None for anything else."""
    return _read(parse_date_or_moment, value)


def day_millis(value: Any) -> Millis | None:
    """The first moment (UTC) of a day written YYYY-MM-DD, or None for anything else."""
    return moment_millis(value) if type(value) is str and len(value) == len("YYYY-MM-DD") else None


def _read(parse: Callable[[str], Millis], value: Any) -> Millis | None:
    if type(value) is not str:
        return None
    try:
        return parse(value)
    except ValueError:
        return None
