"""The incidents become due when they should, by the rules' own arithmetic, whenever the live traffic begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.domain.columns.series import Series
from shared.domain.contract.accepting import Acceptance, accept
from shared.domain.contract.days import Day, day_number, day_of
from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND, Interaction, Millis
from shared.domain.contract.moments import time_millis
from shared.domain.contract.types import event_type
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.fold import fold_touchpoint
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.baseline import Comparison, compare, critical_z, days_needed
from shared.domain.rules.usage import DropParams
from shared.simulator.history import account_history, calm_since
from shared.simulator.incidents import (
    COLLAPSES_AFTER,
    IDS,
    PROMISE_DUE_AFTER,
    SILENT_AFTER,
    collapsed_counts,
    incident_accounts,
    incident_history,
)
from shared.simulator.plan import Planned, outgoing
from tests.simulator.silence import silence_due

NEW_YEAR = 1_767_225_600_000  # 2026-01-01T00:00:00Z
moments = st.integers(NEW_YEAR, NEW_YEAR + 800 * DAY)
Counts = dict[str, dict[Day, float]]


def history_of(live: Millis, months: int = 3) -> list[Planned]:
    since = (live // DAY - months * 30) * DAY
    return list(incident_history(7, live, since, calm_since(live)))


def counts_of(planned: Iterable[Planned], account: str) -> Counts:
    """Daily counts by feature."""
    counts: Counts = defaultdict(lambda: defaultdict(float))
    for one in planned:
        if one.account == account and one.type == "usage.daily_total":
            counts[one.data["feature"]][day_number(one.data["day"])] += one.data["quantity"]
    return counts


def compared(counts: Counts, features: Iterable[str], now: Millis) -> Comparison:
    """What the rules see of the sum of these features at `now`."""
    params, today = DropParams(), day_of(now)
    days = range(days_needed(params.window_days, params.baseline_weeks))
    row = [sum(counts[feature].get(today - back, 0.0) for feature in features) for back in days]
    elapsed = np.array([(now % DAY) / DAY])
    return compare(Series.of(np.array([row])), elapsed, params.window_days, params.baseline_weeks)


@settings(max_examples=25, deadline=None)
@given(moments)
@example(NEW_YEAR - 10 * SECOND)
@example(NEW_YEAR)
@example(NEW_YEAR + 4 * DAY - COLLAPSES_AFTER)
def test_the_collapse_crosses_its_threshold_after_live_begins(live: Millis) -> None:
    counts = counts_of(history_of(live), IDS[0])
    others = [feature for feature in counts if feature != "api"]
    before, after = compared(counts, ["api"], live), compared(counts, ["api"], live + COLLAPSES_AFTER + 30 * SECOND)
    assert before.seen[0] >= 0.8 * before.expected[0]
    assert after.seen[0] < 0.8 * after.expected[0]
    assert after.z[0] < critical_z(np.array([DropParams().significance]))[0]
    assert after.seen[0] > 0.5 * after.expected[0]
    for seconds in (0, 180):
        # Everything else goes on: the account's use in all is above the threshold, and the feature fell by itself.
        rest, total = (compared(counts, what, live + seconds * SECOND) for what in (others, list(counts)))
        assert rest.seen[0] > 1.02 * rest.expected[0]
        assert total.seen[0] > 0.85 * total.expected[0]


@settings(max_examples=200, deadline=None)
@given(moments, st.lists(st.integers(9_000, 15_000), min_size=64, max_size=64))
def test_counts_cross_within_seconds_whatever_the_days_were(crossing: Millis, days: list[int]) -> None:
    today = day_of(crossing)
    assume(day_of(crossing - SECOND) == today == day_of(crossing + 11 * SECOND))  # at midnight the baseline moves on
    usual = {today - back: count for back, count in enumerate(days)}
    counts: Counts = {"f": dict(collapsed_counts(usual, crossing))}
    before = compared(counts, ["f"], crossing - SECOND)
    after = compared(counts, ["f"], crossing + 11 * SECOND)
    if before.seen[0] >= 0.8 * before.expected[0]:
        assert after.seen[0] < 0.8 * after.expected[0]
    else:  # a last week that was quiet already has nothing to lose
        assert sum(days[1:7]) < 0.8 * before.expected[0]
    assert all(0 <= counts["f"][day] <= usual[day] for day in usual)


@settings(max_examples=25, deadline=None)
@given(moments)
def test_the_silence_becomes_due_after_live_begins(live: Millis) -> None:
    facts = Facts()
    for planned in history_of(live):
        if planned.account == IDS[1] and event_type(planned.type).kind is EventClass.TOUCHPOINT:
            facts = fold_touchpoint(facts, touchpoint(planned))
    due, limit, usual = silence_due(facts, everyday=True)
    assert due == live + SILENT_AFTER
    assert limit == 5
    assert 2 <= usual <= 3
    assert facts.last_in_person == incident_accounts(7, live)[1].contacts[0].mail


@given(moments)
@settings(max_examples=20, deadline=None)
def test_the_promise_breaks_after_live_begins_without_a_warning_before(live: Millis) -> None:
    kept = {one.data["promise"] for one in history_of(live) if one.type == "promise.kept"}
    (made,) = (one for one in history_of(live) if one.key == "promise/root-cause-report")
    assert time_millis(made.data["due"]) == live + PROMISE_DUE_AFTER
    assert made.at > live + PROMISE_DUE_AFTER - 24 * HOUR
    assert made.data["promise"] not in kept


@pytest.mark.parametrize("live", [NEW_YEAR + 100 * DAY + 9 * HOUR, NEW_YEAR + 101 * DAY - MINUTE])
def test_every_event_is_accepted(live: Millis) -> None:
    terms = Acceptance("demo", live, lambda _tenant, subject: subject)
    for planned in history_of(live):
        assert isinstance(accept(outgoing(planned, True).raw, 0, terms), Interaction)
        assert planned.at <= live


def touchpoint(planned: Planned) -> Touchpoint:
    return Touchpoint(
        id=f"demo/{planned.account}/{planned.key}",
        tenant="demo",
        relationship=planned.account,
        type=planned.type,
        time=planned.at,
        direction=event_type(planned.type).direction,
        person=planned.data.get("person", ""),
        data=planned.data,
    )


def test_other_incident_accounts_have_a_history_of_use() -> None:
    live = NEW_YEAR + 50 * DAY
    for account in incident_accounts(7, live):
        planned = account_history(7, account, live - 100 * DAY, live, calm_since(live))
        assert {one.type for one in planned} >= {"relationship.updated", "contract.signed", "usage.daily_total"}
