"""Daily series out of month documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from services.api.problems import Problem
from services.api.schemas import MetricsOut, ScoreDay, ScoreHistory, SeriesOut
from shared.domain.columns.months import Cell, Month, cells_of
from shared.domain.contract.days import Day, day_name, day_number, day_of, month_of
from shared.domain.contract.events import Millis

DEFAULT_DAYS = 90
MAX_DAYS = 400
MAX_SERIES = 500
FIRST_DAY = day_number("0001-01-01")  # of the calendar


def days_between(first: str | None, last: str | None, now: Millis) -> range:
    """The days asked for, both ends included; raises Problem 422 when they are no dates, reversed or too many."""
    end = day_of(now) if last is None else _day("to", last)
    start = max(end - DEFAULT_DAYS + 1, FIRST_DAY) if first is None else _day("from", first)
    if not 0 < end - start + 1 <= MAX_DAYS:
        raise _invalid("from", f"`from` must lie before `to`, and at most {MAX_DAYS} days apart")
    return range(start, end + 1)


def months_of(days: range) -> tuple[str, str]:
    """The first and the last month of a range of days."""
    return month_of(days[0]), month_of(days[-1])


def daily_counts(months: Sequence[Month], days: range, wanted: Sequence[str], *, by_person: bool) -> MetricsOut:
    """Counts of the metrics wanted (exact names, or `FAMILY:*`), by metric and, if so asked, person."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(days))
    for name in wanted:
        if not by_person and not name.endswith("*"):
            found[name, ""] = [0.0] * len(days)  # a metric asked for by name is answered even if it never occurred
    for cell in _cells(months, days):
        if any(_covers(name, cell.metric) for name in wanted):
            found[cell.metric, cell.person if by_person else ""][cell.day - days[0]] += cell.count
    if len(found) > MAX_SERIES:
        raise _invalid("metric", f"these are {len(found)} series, more than {MAX_SERIES}: ask for fewer metrics")
    items = [
        SeriesOut(metric=metric, person=person if by_person else None, values=values)
        for (metric, person), values in sorted(found.items())
    ]
    return MetricsOut(days=[day_name(day) for day in days], items=items)


def score_history(months: Sequence[Month], days: range) -> ScoreHistory:
    """RI and RV on the days that have them."""
    items = []
    for month in months:
        first = day_number(month.month + "-01")
        for number, (ri, rv) in sorted(month.scores.items(), key=lambda pair: int(pair[0][1:])):
            day = first + int(number[1:]) - 1
            if day in days:
                items.append(ScoreDay(day=day_name(day), ri=ri, rv=rv))
    return ScoreHistory(items=items)


def _cells(months: Sequence[Month], days: range) -> list[Cell]:
    return [cell for month in months for cell in cells_of(month) if cell.day in days]


def _covers(wanted: str, metric: str) -> bool:
    return metric.startswith(wanted[:-1]) if wanted.endswith("*") else metric == wanted


def _day(field: str, text: str) -> Day:
    try:
        return day_number(text)
    except ValueError as error:
        raise _invalid(field, f"{text!r} is not a day such as 2026-01-31") from error


def _invalid(field: str, message: str) -> Problem:
    return Problem(
        422,
        "invalid",
        f"Correct and send again: query {field}: {message}",
        errors=[{"in": "query", "field": field, "message": message}],
    )
