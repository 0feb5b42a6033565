"""Use that falls: in all, and by feature."""

from __future__ import annotations

import numpy as np

from shared.domain.columns.row import USAGE, Row
from shared.domain.columns.view import View
from shared.domain.contract.days import day_name
from shared.domain.playbooks.model import DropParams, Playbook
from shared.domain.relationship.flags import Counter, Evidence, Rule
from shared.domain.rules.baseline import Comparison, Floats, compare, critical_z, days_needed
from shared.domain.rules.declaration import Bools, Ints, RuleResult, state_rule

CHECKED_EVERY = 6 * 3_600_000  # ms: windows slide even when nothing comes in
SETTLED = 0.75  # a standing flag clears when less than this part of the warning threshold is missing
OWN_WEEKS = 0.5  # a feature is the relationship's own when it was used in at least this share of the baseline's weeks
GENERAL = 0.8  # a feature that is left with more than this share of what is left of the others fell along with them


def _hits(found: Comparison, params: DropParams) -> tuple[Bools, Bools, Bools]:
    with np.errstate(invalid="ignore"):
        enough = found.expected >= params.minimum
        fallen = found.seen <= (1 - params.warn) * found.expected
        fires = enough & fallen & (found.z < critical_z(params.significance))
        stays = enough & (found.seen < (1 - SETTLED * params.warn) * found.expected)
        critical = found.seen <= (1 - params.critical) * found.expected
    return fires, stays | fires, critical


def _next_check(view: View, used: Bools) -> Ints:
    """The next quarter of a day for rows with any use in reach, else 0."""
    return np.where(used, (view.at // CHECKED_EVERY + 1) * CHECKED_EVERY, 0)


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
    days = round(numbers["days"])
    counts = view.daily(position, feature, days + 1)
    today, rest = int(view.day[position]), round(1 - float(view.elapsed[position]), 4)
    return Evidence(
        counters=tuple(
            Counter(feature, day_name(today - ago), float(counts[ago]), share=rest if ago == days else 1.0)
            for ago in np.flatnonzero(counts)[::-1].tolist()
        )
    )


def _drop_words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    share = 1 - numbers["seen"] / numbers["expected"]
    what = f"use of {subject}" if subject else "use"
    seen, expected, days = numbers["seen"], numbers["expected"], numbers["days"]
    return f"{what} is down {share:.0%}: {seen:,.0f} in the last {days:.0f} days where {expected:,.0f} are usual"


@state_rule(Rule.USAGE_DROP, _evidence, _drop_words)
def usage_drop(view: View, playbook: Playbook) -> RuleResult:
    """Use in all over the window against the relationship's own weekday baseline."""
    params = playbook.params(Rule.USAGE_DROP, DropParams)
    counts = view.total(USAGE, days_needed(params.window_days, params.baseline_weeks))
    found = compare(counts, view.elapsed, params.window_days, params.baseline_weeks)
    fires, stays, critical = _hits(found, params)
    return RuleResult(
        position=np.arange(len(view)),
        subject=[""] * len(view),
        fires=fires,
        stays=stays,
        critical=critical,
        numbers=_numbers(found, params),
        due=_next_check(view, np.any(counts > 0, axis=1)),
    )


@state_rule(Rule.FEATURE_DECLINE, _evidence, _drop_words)
def feature_decline(view: View, playbook: Playbook) -> RuleResult:
    """A feature the relationship had made its own, falling by itself and not along with everything else."""
    params = playbook.params(Rule.FEATURE_DECLINE, DropParams)
    days = days_needed(params.window_days, params.baseline_weeks)
    position, names, counts = view.features(days)
    found = compare(counts, view.elapsed[position], params.window_days, params.baseline_weeks)
    total = view.total(USAGE, days)
    others = total[position] - counts
    rest = compare(np.maximum(others, 0), view.elapsed[position], params.window_days, params.baseline_weeks)
    fires, stays, critical = _hits(found, params)
    own = found.active_weeks >= OWN_WEEKS * found.weeks
    with np.errstate(divide="ignore", invalid="ignore"):
        level, general = found.seen / found.expected, rest.seen / rest.expected
        comparable = own & (general > 0)
        fires &= comparable & (level <= GENERAL * general)
        stays &= comparable & (level <= (1 - SETTLED * (1 - GENERAL)) * general)
    few = np.flatnonzero(stays)
    return RuleResult(
        position=position[few],
        subject=[names[at] for at in few],
        fires=fires[few],
        stays=stays[few],
        critical=critical[few],
        numbers={name: column[few] for name, column in _numbers(found, params).items()},
        due=_next_check(view, np.any(total > 0, axis=1)),
    )
