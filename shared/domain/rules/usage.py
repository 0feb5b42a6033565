"""Use that falls: in all, and by feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from shared.domain.columns.row import USAGE, Row
from shared.domain.columns.series import Series
from shared.domain.columns.view import View
from shared.domain.contract.events import DAY, HOUR
from shared.domain.relationship.flags import Evidence
from shared.domain.rules.baseline import Comparison, Floats, compare, critical_z, days_needed, levels
from shared.domain.rules.declaration import (
    Bools,
    Ints,
    Params,
    RuleResult,
    Thresholds,
    Trigger,
    severities,
    state_rule,
)
from shared.domain.rules.evidence import daily_uses

CHECKED_EVERY = 6 * HOUR  # windows slide even when nothing comes in
SETTLED = 0.75  # a standing flag clears when less than this part of the warning threshold is missing
OWN_WEEKS = 0.5  # a feature is the relationship's own when it was used in at least this share of the baseline's weeks
GENERAL = 0.8  # a feature that is left with more than this share of what is left of the others fell along with them
LONGEST_LOOK = 390  # days that a rule may look back: the series of shared.domain.columns reach 400

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class DropParams(Params, frozen=True, kw_only=True):
    """Of usage_drop and feature_decline: use in the window against the relationship's own weekday baseline."""

    window_days: Annotated[int, msgspec.Meta(ge=1, le=365, description="days of the window")] = 7
    baseline_weeks: Annotated[int, msgspec.Meta(ge=2, le=52, description="weeks before it to compare with")] = 8
    warn: Annotated[Share, msgspec.Meta(description="share by which use has fallen")] = 0.20
    critical: Annotated[Share, msgspec.Meta(description="share from which it is critical")] = 0.50
    minimum: Annotated[
        float, msgspec.Meta(ge=1, le=1_000_000, description="uses expected in the window; below that nothing is said")
    ] = 20.0
    significance: Annotated[
        Share, msgspec.Meta(description="probability of so little use by chance above which nothing is said")
    ] = 0.01

    def __post_init__(self) -> None:
        if self.critical < self.warn:
            raise ValueError(f"critical ({self.critical}) must not be below warn ({self.warn})")
        if self.window_days + 7 * self.baseline_weeks > LONGEST_LOOK:
            raise ValueError(
                f"window_days + 7 × baseline_weeks ({self.window_days + 7 * self.baseline_weeks}) must not be above"
                f" {LONGEST_LOOK}: counts are not kept at hand for longer"
            )


def _lookback(params: DropParams) -> int:
    return days_needed(params.window_days, params.baseline_weeks)


class _Fallen(NamedTuple):
    """Series that may keep a flag: their places among those looked at, and how they compare."""

    at: Ints
    found: Comparison
    fires: Bools
    critical: Bools
    soon: Bools  # of all that were looked at: whether they may keep one before the day is over, if nothing more comes


def _fallen(
    series: Series, elapsed: Floats, position: Ints, params: DropParams, shares: Thresholds[DropParams]
) -> _Fallen:
    """Which of these series (of the rows at `position`) have fallen enough for a standing flag to stay.

    How surely is computed for these alone, which are few.
    """
    known = levels(series, elapsed, params.window_days, params.baseline_weeks)
    minimum, share = shares.column("minimum")[position], 1 - SETTLED * shares.column("warn")[position]
    with np.errstate(invalid="ignore"):
        enough, low = known.expected >= minimum, known.seen < share * known.expected
        # Both go in a straight line until midnight: what holds neither now nor then does not hold in between
        soon = enough | (known.expected_by_midnight >= minimum)
        soon &= low | (known.seen_by_midnight < share * known.expected_by_midnight)
    at = np.flatnonzero(enough & low)
    found = compare(series.take(at), elapsed[at], params.window_days, params.baseline_weeks)
    warn, critical = shares.column("warn")[position[at]], shares.column("critical")[position[at]]
    fires = found.seen <= (1 - warn) * found.expected
    fires &= found.z < critical_z(shares.column("significance")[position[at]])
    return _Fallen(at, found, fires, found.seen <= (1 - critical) * found.expected, soon)


def _next_check(view: View, used: Bools, soon: Bools) -> Ints:
    """The next quarter of a day, as the relationship has it, where time alone may change the answer before midnight.

    Else the next day's first one; 0 without any use in reach.
    """
    quarter = ((view.at - view.phase) // CHECKED_EVERY + 1) * CHECKED_EVERY + view.phase
    tomorrow = (view.day + 1) * DAY + view.phase
    return np.where(soon, quarter, np.where(used, tomorrow, 0))


def _numbers(found: Comparison, params: DropParams) -> dict[str, Floats]:
    return {
        "seen": found.seen,
        "expected": found.expected,
        "z": found.z,
        "weeks": found.weeks.astype(np.float64),
        "days": np.full(len(found.seen), float(params.window_days)),
    }


def _evidence(view: View, position: int, feature: str, numbers: dict[str, float]) -> Evidence:
    """The daily counts of the window, of whose first day only what is left of it counts."""
    rest = round(1 - float(view.elapsed[position]), 4)
    return daily_uses(view, position, feature, round(numbers["days"]) + 1, rest)


def _words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    share = 1 - numbers["seen"] / numbers["expected"]
    what = f"use of {subject}" if subject else "use"
    seen, expected, days = numbers["seen"], numbers["expected"], numbers["days"]
    return f"{what} is down {share:.0%}: {seen:,.0f} in the last {days:.0f} days where {expected:,.0f} are usual"


def _result(parts: Sequence[RuleResult], due: Ints) -> RuleResult:
    """The results of groups of rows as one."""
    return RuleResult(
        position=np.concatenate([part.position for part in parts]),
        subject=[subject for part in parts for subject in part.subject],
        severity=np.concatenate([part.severity for part in parts]),
        stays=np.concatenate([part.stays for part in parts]),
        numbers={name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        due=due,
    )


@state_rule(
    DropParams,
    triggers=Trigger.USE,
    words=_words,
    evidence=_evidence,
    lookback=_lookback,
    cooldown_days=7,
    advice=(
        "Call your main contact and ask what has changed.",
        "Look at which features and which people stopped first.",
        "Agree on one step to bring use back, and a date to look at it again.",
    ),
)
def usage_drop(view: View, shares: Thresholds[DropParams]) -> RuleResult:
    """Use in all over the window against the relationship's own weekday baseline."""
    use = view.series(USAGE)
    parts, used, soon = [], np.zeros(len(view), np.bool_), np.zeros(len(view), np.bool_)
    for params, rows in shares.groups("window_days", "baseline_weeks"):
        series = use.take(rows)
        used[rows] = series.used(_lookback(params))
        fallen = _fallen(series, view.elapsed[rows], rows, params, shares)
        soon[rows] = fallen.soon
        parts.append(
            RuleResult(
                position=rows[fallen.at],
                subject=[""] * len(fallen.at),
                severity=severities(fallen.fires, fallen.critical),
                stays=np.ones(len(fallen.at), np.bool_),
                numbers=_numbers(fallen.found, params),
                due=rows,
            )
        )
    return _result(parts, _next_check(view, used, soon))


@state_rule(
    DropParams,
    triggers=Trigger.USE,
    words=_words,
    evidence=_evidence,
    lookback=_lookback,
    cooldown_days=7,
    advice=(
        "Ask the people who used it what they do instead.",
        "Check whether a release or a fault has touched this feature.",
        "Offer a short session on it to the team.",
    ),
)
def feature_decline(view: View, shares: Thresholds[DropParams]) -> RuleResult:
    """A feature the relationship had made its own, falling by itself and not along with everything else."""
    parts, used, soon = [], np.zeros(len(view), np.bool_), np.zeros(len(view), np.bool_)
    for params, rows in shares.groups("window_days", "baseline_weeks"):
        position, slots, series = view.features(rows)
        used[position[series.used(_lookback(params))]] = True
        fallen = _fallen(series, view.elapsed[position], position, params, shares)
        soon[position[fallen.soon]] = True
        parts.append(_declines(view, position, slots, series, fallen, params))
    return _result(parts, _next_check(view, used, soon))


def _declines(
    view: View, position: Ints, slots: Ints, series: Series, fallen: _Fallen, params: DropParams
) -> RuleResult:
    """Of the features that have fallen, those that fell more than the others of their relationship."""
    at, days = fallen.at, _lookback(params)
    of = position[at]
    others = view.series(USAGE).take(of).counts(days) - series.take(at).counts(days)
    rest = levels(Series.of(np.maximum(others, 0)), view.elapsed[of], params.window_days, params.baseline_weeks)
    with np.errstate(divide="ignore", invalid="ignore"):
        level, general = fallen.found.seen / fallen.found.expected, rest.seen / rest.expected
        comparable = (fallen.found.active_weeks >= OWN_WEEKS * fallen.found.weeks) & (general > 0)
        fires = fallen.fires & comparable & (level <= GENERAL * general)
        stays = comparable & (level <= (1 - SETTLED * (1 - GENERAL)) * general)
    few = np.flatnonzero(stays)
    return RuleResult(
        position=of[few],
        subject=[view.feature_name(int(of[one]), int(slots[at[one]])) for one in few.tolist()],
        severity=severities(fires[few], fallen.critical[few]),
        stays=stays[few],
        numbers={name: column[few] for name, column in _numbers(fallen.found, params).items()},
        due=of,
    )
