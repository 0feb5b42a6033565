"""The life of an alert, told as scripts of what happened when; and what redelivery must never change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.alerts.lifecycle import (
    TIMELINE_LIMIT,
    Notice,
    Refused,
    What,
    acknowledge,
    apply_change,
    comment,
    later,
    owed,
    renew,
    resolve,
)
from shared.domain.relationship.flags import Cause, Evidence, FlagChange, Severity, StandingFlag, Update, Why
from tests.examples import examples

CAUSE = Cause("i1", 3, 0)
UPDATE = Update("acme", "acct-42", "Globex", "eva", "customer", "enterprise", at=900, cause=CAUSE)


def verdict(
    position: int,
    raised: bool = True,
    severity: Severity = Severity.WARNING,
    suppressed: bool = False,
    step: int = 0,
    incarnation: str = "i1",
    why: Why = Why.ENDED,
) -> FlagChange:
    return FlagChange(
        rule="usage_drop",
        subject="",
        raised=raised,
        moment=position * 10,
        cause=Cause(incarnation, 3, position, step),
        severity=severity,
        reason=f"reason {position}",
        numbers={"seen": float(position)},
        evidence=Evidence(events=(f"crm#{position}",)),
        suppressed=suppressed,
        why=why,
    )


def published(alert: Alert | None, change: FlagChange, at: int = 1_000) -> Alert:
    step = apply_change(alert, UPDATE, change, at)
    assert step is not None
    return step.alert


def opened(position: int = 1, severity: Severity = Severity.WARNING) -> Alert:
    return published(None, verdict(position, severity=severity))


def story(alert: Alert) -> list[str]:
    return [entry.what for entry in alert.timeline]


def test_a_raised_verdict_opens_an_alert() -> None:
    step = apply_change(None, UPDATE, verdict(7), 1_000, advice=("Call them.",), received=900)
    assert step is not None
    assert step.archived is None
    assert step.alert == Alert(
        id="acme/acct-42/usage_drop/",
        tenant="acme",
        relationship="acct-42",
        name="Globex",
        owner="eva",
        kind="customer",
        segment="enterprise",
        rule="usage_drop",
        subject="",
        severity=Severity.WARNING,
        state=AlertState.OPEN,
        reason="reason 7",
        numbers={"seen": 7.0},
        evidence=Evidence(events=("crm#7",)),
        advice=("Call them.",),
        opened_at=1_000,
        moment=70,
        updated_at=1_000,
        cause=Cause("i1", 3, 7),
        received=900,
        timeline=(AlertEntry(1_000, "opened", "rapport", "reason 7", 1),),
    )
    assert (step.alert.version, step.alert.episode) == (1, 1)


@pytest.mark.parametrize(
    "change", [verdict(1, suppressed=True), verdict(1, raised=False), verdict(1, False, suppressed=True)]
)
def test_loaded_history_and_clearing_open_nothing(change: FlagChange) -> None:
    assert apply_change(None, UPDATE, change, 5) is None
    closed = resolve(opened(0), "eva", 4)
    assert apply_change(closed, UPDATE, change, 5) is None


@pytest.mark.parametrize("position", [1, 2])
def test_other_words_renew_what_is_open_and_no_more(position: int) -> None:
    flag = StandingFlag("usage_drop", "", Severity.WARNING, 10, reason="now", cause=Cause("i1", 3, position))
    alert = opened(1)
    assert renew(None, flag, 5) is None
    assert renew(resolve(alert, "eva", 4), flag, 5) is None
    step = renew(alert, flag, 5)
    if position == 1:
        assert step is None  # applied already
        return
    assert step is not None
    assert step.alert == replace(alert, reason="now", numbers={}, evidence=Evidence(), cause=flag.cause, **RENEWED)


RENEWED = {"updated_at": 5, "version": 2}


def test_getting_worse_escalates_and_is_told() -> None:
    alert = published(opened(1), verdict(2, severity=Severity.CRITICAL), at=2_000)
    assert (alert.severity, alert.state, alert.version, alert.updated_at) == ("critical", "open", 2, 2_000)
    assert (alert.reason, alert.numbers, alert.moment) == ("reason 2", {"seen": 2.0}, 20)
    assert alert.timeline[-1] == AlertEntry(2_000, "escalated", "rapport", "critical: reason 2", 2)


def test_getting_worse_does_not_take_the_alert_from_whoever_has_it() -> None:
    alert = published(acknowledge(opened(1), "eva", 5), verdict(2, severity=Severity.CRITICAL))
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", "eva")


def test_easing_and_repeating_and_loaded_history_only_update() -> None:
    alert = published(opened(1, Severity.CRITICAL), verdict(2, severity=Severity.WARNING))
    assert alert.severity == Severity.WARNING
    alert = published(alert, verdict(3, severity=Severity.WARNING))
    alert = published(alert, verdict(4, severity=Severity.CRITICAL, suppressed=True))
    assert alert.severity == Severity.CRITICAL
    assert story(alert) == ["opened", "updated", "updated", "updated"]


@pytest.mark.parametrize("suppressed", [False, True])
def test_a_cleared_condition_resolves_by_itself(suppressed: bool) -> None:
    alert = published(acknowledge(opened(1), "eva", 5), verdict(2, raised=False, suppressed=suppressed), at=9)
    assert (alert.state, alert.resolved_by, alert.resolved_at) == ("resolved", "rapport", 9)
    assert story(alert) == ["opened", "acknowledged", "cleared"]


@pytest.mark.parametrize("why", Why)
def test_the_timeline_says_why_it_was_cleared(why: Why) -> None:
    alert = published(opened(1), verdict(2, raised=False, why=why))
    assert [(entry.what, entry.why) for entry in alert.timeline] == [("opened", ""), ("cleared", why)]


def test_raised_again_begins_a_new_episode_and_archives_the_old_one() -> None:
    closed = replace(published(acknowledge(opened(1), "eva", 5), verdict(2, raised=False)), published_version=3)
    step = apply_change(closed, UPDATE, verdict(3), 3_000)
    assert step is not None
    assert step.archived == closed
    alert = step.alert
    assert (alert.state, alert.episode, alert.version, alert.published_version) == ("open", 2, 4, 3)
    assert (alert.opened_at, alert.acknowledged_at, alert.acknowledged_by) == (3_000, 0, "")
    assert (alert.resolved_at, alert.resolved_by) == (0, "")
    assert story(alert) == ["opened", "acknowledged", "cleared", "reopened"]


def test_people_acknowledge_comment_and_resolve() -> None:
    alert = acknowledge(opened(1), "eva", 10, "on it")
    assert (alert.state, alert.acknowledged_at, alert.acknowledged_by) == ("acknowledged", 10, "eva")
    alert = comment(alert, "tom", 20, "they moved offices")
    alert = resolve(alert, "eva", 30, "called them")
    assert (alert.state, alert.resolved_at, alert.resolved_by) == ("resolved", 30, "eva")
    assert alert.timeline[1:] == (
        AlertEntry(10, "acknowledged", "eva", "on it", 2),
        AlertEntry(20, "commented", "tom", "they moved offices", 3),
        AlertEntry(30, "resolved", "eva", "called them", 4),
    )
    assert comment(alert, "eva", 40, "late remark").state == AlertState.RESOLVED


def test_acting_twice_changes_nothing() -> None:
    alert = acknowledge(opened(1), "eva", 10)
    assert acknowledge(alert, "tom", 20) is alert
    closed = resolve(alert, "eva", 30)
    assert resolve(closed, "tom", 40) is closed


def test_what_cannot_be_done_is_refused() -> None:
    closed = resolve(opened(1), "eva", 30)
    with pytest.raises(Refused, match="only an open alert can be acknowledged"):
        acknowledge(closed, "eva", 40)
    with pytest.raises(Refused, match="needs text"):
        comment(closed, "eva", 40, " ")


def test_an_open_alert_can_be_resolved_without_acknowledging() -> None:
    assert resolve(opened(1), "eva", 3).state == AlertState.RESOLVED


def test_the_timeline_keeps_the_latest_entries() -> None:
    alert = opened(1)
    for number in range(TIMELINE_LIMIT + 5):
        alert = comment(alert, "eva", number, f"remark {number}")
    assert len(alert.timeline) == TIMELINE_LIMIT
    assert alert.timeline[-1].text == f"remark {TIMELINE_LIMIT + 4}"
    assert alert.timeline[-1].version == alert.version == TIMELINE_LIMIT + 6


def test_long_remarks_push_the_oldest_entries_out() -> None:
    alert = opened(1)
    for number in range(40):
        alert = comment(alert, "eva", number, "x" * 10_000)
    assert 20 < len(alert.timeline) < 30
    assert alert.timeline[-1].version == alert.version


def test_verdicts_are_ordered_by_their_cause() -> None:
    assert later(Cause("i", 0, 5), Cause("i", 0, 4))
    assert later(Cause("i", 0, 5, 1), Cause("i", 0, 5, 0))
    assert not later(Cause("i", 0, 5, 1), Cause("i", 0, 5, 1))
    assert not later(Cause("i", 0, 4, 9), Cause("i", 0, 5, 0))
    assert later(Cause("j", 0, 1), Cause("i", 0, 5))


def test_what_is_owed_is_what_was_not_seen_through() -> None:
    alert = opened(1)
    alert = published(alert, verdict(2, severity=Severity.CRITICAL), at=2_000)
    alert = comment(alert, "eva", 2_500, "hm")
    alert = published(alert, verdict(3, raised=False), at=3_000)
    alert = published(alert, verdict(4), at=4_000)
    assert owed(alert) == [
        Notice(What.OPENED, 1_000, 1, 1),
        Notice(What.ESCALATED, 2_000, 1, 2),
        Notice(What.CLEARED, 3_000, 1, 4),
        Notice(What.REOPENED, 4_000, 2, 5),
    ]
    assert owed(replace(alert, published_version=2)) == [
        Notice(What.CLEARED, 3_000, 1, 4),
        Notice(What.REOPENED, 4_000, 2, 5),
    ]
    assert owed(replace(alert, published_version=5)) == []


# --- redelivery --------------------------------------------------------------------------------------------------

SEVERITIES = st.sampled_from(Severity)
VERDICTS = st.lists(st.tuples(st.booleans(), SEVERITIES, st.booleans()), min_size=1, max_size=12).map(
    lambda rows: [
        verdict(number // 2, raised, severity, suppressed, step=number % 2)
        for number, (raised, severity, suppressed) in enumerate(rows)
    ]
)
PEOPLE = st.lists(st.sampled_from(["", "acknowledge", "resolve", "comment"]), min_size=12, max_size=12)


def person(alert: Alert | None, act: str, at: int) -> Alert | None:
    if alert is None or not act:
        return alert
    if act == "acknowledge":
        return alert if alert.state == AlertState.RESOLVED else acknowledge(alert, "eva", at)
    return resolve(alert, "eva", at) if act == "resolve" else comment(alert, "eva", at, "hm")


class Desk:
    """One fingerprint as it is stored: the current alert, and the episodes archived by their number."""

    def __init__(self) -> None:
        self.alert: Alert | None = None
        self.archive: dict[int, Alert] = {}

    def take(self, change: FlagChange) -> None:
        step = apply_change(self.alert, UPDATE, change, change.moment)
        if step is None:
            return
        if step.archived is not None:
            assert step.archived.episode not in self.archive
            self.archive[step.archived.episode] = step.archived
        self.alert = step.alert

    def check(self) -> None:
        assert all(alert.state == AlertState.RESOLVED for alert in self.archive.values())
        if self.alert is not None:
            assert sorted(self.archive) == list(range(1, self.alert.episode))
            assert len({entry.version for entry in self.alert.timeline}) == len(self.alert.timeline)


@settings(max_examples=examples(100))
@given(VERDICTS, PEOPLE, st.data())
def test_redelivery_in_any_interleaving_leaves_the_same_alert(
    verdicts: list[FlagChange], acts: list[str], data: st.DataObject
) -> None:
    once, again = Desk(), Desk()
    for number, change in enumerate(verdicts):
        once.take(change)
        again.take(change)
        for redelivered in data.draw(st.lists(st.integers(0, number), max_size=4)):
            again.take(verdicts[redelivered])
        once.alert = person(once.alert, acts[number], change.moment)
        again.alert = person(again.alert, acts[number], change.moment)
        for redelivered in data.draw(st.lists(st.integers(0, number), max_size=4)):
            again.take(verdicts[redelivered])
        again.check()
    assert again.alert == once.alert
    assert again.archive == once.archive
