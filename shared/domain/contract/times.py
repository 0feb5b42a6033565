"""Times as events write them: RFC 3339 with an offset, or a bare date (its first moment in UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from shared.domain.contract.events import Millis

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: str) -> Millis:
    """Milliseconds (cut off) of an RFC 3339 time; ValueError saying what is expected otherwise.

    Also for one that in UTC lies outside the years 1 to 9999: it could not be written in UTC again.
    """
    if not _MOMENT.match(text):
        raise ValueError(f"{text!r} is not an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z")
    try:
        moment = datetime.fromisoformat(text.replace("z", "Z").replace("t", "T")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: {error}") from error
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_date_or_moment(text: str) -> Millis:
    """Milliseconds of `YYYY-MM-DD` (00:00 UTC) or of an RFC 3339 time; ValueError otherwise."""
    if _DATE.match(text):
        try:
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError as error:
            raise ValueError(f"{text!r} is not a date: {error}") from error
    return parse_moment(text)
