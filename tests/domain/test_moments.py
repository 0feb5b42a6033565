"""Points in time are read exactly, and what is none is None."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.contract.moments import datetime_millis, day_millis, moment_millis, rfc3339, time_millis


@given(st.datetimes(max_value=datetime(9998, 1, 1), timezones=st.just(UTC)))
def test_milliseconds_are_whole_and_exact(moment: datetime) -> None:
    millis = datetime_millis(moment)
    assert timedelta(0) <= moment - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis))
    assert moment - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)) < timedelta(milliseconds=1)
    assert datetime_millis(moment.astimezone(timezone(timedelta(hours=5)))) == millis


@pytest.mark.parametrize(
    ("value", "day", "time"),
    [
        ("2026-01-31", 1_769_817_600_000, None),
        ("2026-01-31T09:00:00Z", None, 1_769_850_000_000),
        ("2026-02-31", None, None),
        ("20260131", None, None),
        ("2026-W05-6", None, None),
        ("2026-01-31\n", None, None),
        (20260131, None, None),
        (None, None, None),
    ],
)
def test_days_and_times_are_told_apart(value: object, day: int | None, time: int | None) -> None:
    assert (day_millis(value), time_millis(value), moment_millis(value)) == (day, time, day or time)


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_what_is_written_reads_back(moment: int) -> None:
    assert time_millis(rfc3339(moment)) == moment
