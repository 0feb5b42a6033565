from __future__ import annotations

import pytest

from shared.domain.contract.times import parse_date_or_moment, parse_moment


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000),
        ("1970-01-01 00:00:00.25Z", 250),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59Z", -1_000),
        ("2026-06-01T09:00:00Z", 1_780_304_400_000),
        ("2026-06-01T09:00:00.123456Z", 1_780_304_400_123),
        ("2026-06-01T09:00:00.1239999Z", 1_780_304_400_123),
        ("9999-12-31T23:59:59.9999999Z", 253_402_300_799_999),
    ],
)
def test_a_moment(text: str, millis: int) -> None:
    assert parse_moment(text) == millis
    assert parse_date_or_moment(text) == millis


def test_a_date_is_its_first_moment() -> None:
    assert parse_date_or_moment("2026-06-01") == 1_780_272_000_000  # 20,605 days


@pytest.mark.parametrize("text", ["2026-06-01T09:00:00", "2026-06-01", "yesterday", "", "2026-06-01T09:00Z"])
def test_a_moment_needs_date_time_and_offset(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 time with an offset"):
        parse_moment(text)


def test_a_day_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="is not a time: "):
        parse_moment("2026-02-30T09:00:00Z")
    with pytest.raises(ValueError, match="is not a date: "):
        parse_date_or_moment("2026-02-30")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_moment_beyond_the_calendar_in_utc(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: "):
        parse_moment(text)


def test_a_fraction_of_a_second_has_nine_digits_at_most() -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 time"):
        parse_moment(f"2026-06-01T09:00:00.{'1' * 10}Z")
