"""Use day by day, and what is usual."""

from __future__ import annotations

from services.api.web.series import (
    EVERYTHING,
    Window,
    drop_of,
    drop_window,
    features_of,
    usage_series,
    weekday_means,
)
from shared.domain.columns.months import Cell
from shared.domain.contract.days import day_name
from shared.domain.contract.events import DAY
from shared.domain.relationship.flags import Counter, Evidence, Severity, StandingFlag

TODAY = 20_000


def use(feature: str, counts: dict[int, float], person: str = "") -> list[Cell]:
    return [Cell(f"use:{feature}", person, day, count) for day, count in counts.items()]


def a_flag(*days: int, since: int = TODAY, subject: str = "export") -> StandingFlag:
    counters = tuple(Counter("export", day_name(day), 1.0) for day in days)
    return StandingFlag("feature_decline", subject, Severity.CRITICAL, since * DAY, evidence=Evidence((), counters))


def test_counts_are_added_over_persons_and_days_without_use_are_zero() -> None:
    cells = use("export", {TODAY: 2.0}, "ann") + use("export", {TODAY: 3.0}, "ben") + use("report", {TODAY - 1: 9.0})
    series = usage_series(cells, "export", TODAY, shown=3)
    assert series.days == (day_name(TODAY - 2), day_name(TODAY - 1), day_name(TODAY))
    assert series.counts == (0.0, 0.0, 5.0)
    assert usage_series(cells, EVERYTHING, TODAY, shown=3).counts == (0.0, 9.0, 5.0)


def test_touchpoints_are_no_use() -> None:
    cells = [Cell("in:email", "", TODAY, 4.0), *use("export", {TODAY: 1.0})]
    assert usage_series(cells, EVERYTHING, TODAY, shown=1).counts == (1.0,)
    assert features_of(cells) == ["export"]


def test_features_come_with_the_most_used_first() -> None:
    cells = use("b", {TODAY: 1.0}) + use("a", {TODAY: 1.0}) + use("c", {TODAY: 5.0})
    assert features_of(cells) == ["c", "a", "b"]


def test_the_baseline_is_each_weekdays_mean_over_the_eight_weeks_before_the_window() -> None:
    cells = use("export", {day: 10.0 if day % 7 < 5 else 0.0 for day in range(TODAY - 62, TODAY - 6)})
    cells += use("export", {TODAY - 200: 999.0})  # older than eight weeks: no part of it
    series = usage_series(cells, "export", TODAY, shown=14)
    assert series.baseline == tuple(10.0 if day % 7 < 5 else 0.0 for day in range(TODAY - 13, TODAY + 1))
    assert series.flagged is None


def test_a_flagged_drop_does_not_pull_its_own_baseline_down() -> None:
    counts = dict.fromkeys(range(TODAY - 90, TODAY - 20), 10.0) | dict.fromkeys(range(TODAY - 20, TODAY + 1), 1.0)
    flag = a_flag(TODAY - 20, TODAY)
    series = usage_series(use("export", counts), "export", TODAY, flag)
    assert series.baseline[-1] == 10.0
    assert series.flagged == Window(TODAY - 20, TODAY)
    assert series.severity == "critical"


def test_days_before_the_first_use_are_no_history() -> None:
    usual = weekday_means(dict.fromkeys(range(TODAY - 21, TODAY), 4.0), TODAY)
    assert usual == (4.0,) * 7


def test_without_two_weeks_of_history_there_is_no_baseline() -> None:
    assert weekday_means({}, TODAY) is None
    assert weekday_means({TODAY - 13: 4.0}, TODAY) is None
    assert weekday_means({TODAY - 14: 4.0}, TODAY) is not None
    assert usage_series([], "export", TODAY, shown=2).baseline == (None, None)


def test_the_window_of_a_flag_without_counters_is_the_week_before_it() -> None:
    assert drop_window(a_flag(since=TODAY)) == Window(TODAY - 6, TODAY)


def test_a_drop_belongs_to_its_feature() -> None:
    flags = {"feature_decline/export": a_flag(TODAY)}
    assert drop_of(flags, "export") is flags["feature_decline/export"]
    assert drop_of(flags, "report") is None
    silence = StandingFlag("silence", "", Severity.WARNING, 0)
    assert drop_of({"silence": silence}, EVERYTHING) is None
