"""Use of a feature day by day, beside what was usual on each weekday, and the window in which a drop was flagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shared.domain.columns.months import USE, Cell
from shared.domain.contract.days import Day, day_name, day_number, day_of
from shared.domain.relationship.flags import StandingFlag
from shared.domain.rules.table import state_rules

SHOWN_DAYS = 90
BASELINE_DAYS = 56
LEAST_BASELINE_DAYS = 14  # fewer days of history are no baseline
WINDOW_DAYS = 7  # the latest days are never part of their own baseline, flagged or not
EVERYTHING = ""  # the "feature" that stands for all use

_DROPS = frozenset(rule.name for rule in state_rules() if rule.lookback)


class Window(msgspec.Struct, frozen=True):
    """Days from `first` to `last`, both included."""

    first: Day
    last: Day


class UsageSeries(msgspec.Struct, frozen=True):
    """One value a day, oldest first. `baseline` is None on days without one; `flagged` where a drop stands."""

    days: tuple[str, ...]
    counts: tuple[float, ...]
    baseline: tuple[float | None, ...]
    flagged: Window | None
    severity: str = ""


def features_of(cells: Iterable[Cell]) -> list[str]:
    """Features in use, the most used first."""
    totals: dict[str, float] = {}
    for cell in cells:
        if cell.metric.startswith(USE):
            name = cell.metric.removeprefix(USE)
            totals[name] = totals.get(name, 0.0) + cell.count
    return sorted(totals, key=lambda name: (-totals[name], name))


def daily_use(cells: Iterable[Cell], feature: str) -> dict[Day, float]:
    """Counts of a feature (EVERYTHING: of all) by day, over all persons."""
    found: dict[Day, float] = {}
    for cell in cells:
        if cell.metric == USE + feature or (feature == EVERYTHING and cell.metric.startswith(USE)):
            found[cell.day] = found.get(cell.day, 0.0) + cell.count
    return found


def drop_of(flags: Mapping[str, StandingFlag], feature: str) -> StandingFlag | None:
    """The standing flag that says the use of this feature (EVERYTHING: of all) has dropped."""
    for flag in flags.values():
        if flag.rule in _DROPS and flag.subject == feature:
            return flag
    return None


def drop_window(flag: StandingFlag) -> Window:
    """The days a drop was seen in: those of its evidence, else the week before it was flagged."""
    days = sorted(day_number(counter.day) for counter in flag.evidence.counters)
    if days:
        return Window(days[0], days[-1])
    last = day_of(flag.since)
    return Window(last - WINDOW_DAYS + 1, last)


def usage_series(
    cells: Sequence[Cell], feature: str, today: Day, flag: StandingFlag | None = None, shown: int = SHOWN_DAYS
) -> UsageSeries:
    """The last `shown` days up to `today`. The baseline is each weekday's mean over the 8 weeks before the window."""
    counts = daily_use(cells, feature)
    flagged = drop_window(flag) if flag is not None else None
    start = flagged.first if flagged is not None else today - WINDOW_DAYS + 1
    usual = weekday_means(counts, start)
    days = range(today - shown + 1, today + 1)
    return UsageSeries(
        days=tuple(day_name(day) for day in days),
        counts=tuple(counts.get(day, 0.0) for day in days),
        baseline=tuple(usual[day % 7] if usual is not None else None for day in days),
        flagged=flagged,
        severity=str(flag.severity) if flag is not None else "",
    )


def weekday_means(counts: Mapping[Day, float], before: Day) -> tuple[float, ...] | None:
    """Mean use on each weekday (indexed by day % 7) over the 8 weeks before a day; None if history is too short.

    Days before the first use are no history and do not pull the mean down.
    """
    if not counts:
        return None
    first = max(min(counts), before - BASELINE_DAYS)
    if before - first < LEAST_BASELINE_DAYS:
        return None
    sums, days = [0.0] * 7, [0] * 7
    for day in range(first, before):
        sums[day % 7] += counts.get(day, 0.0)
        days[day % 7] += 1
    return tuple(total / count for total, count in zip(sums, days, strict=True))
