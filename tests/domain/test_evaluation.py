"""Canonical evaluation: when, what it raises and clears, and what a state remembers of it."""

from __future__ import annotations

import pytest

from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, HOUR, MINUTE
from shared.domain.engine.changes import CHANGES_KEPT, forget_published, remembered
from shared.domain.engine.evaluation import ACTIVE_DAYS, SCORE_DAYS_KEPT, next_boundary
from shared.domain.engine.judging import EVENT_FLAGS_KEPT
from shared.domain.engine.one_event import SETTLE
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import ENDED
from tests.domain.builders import LOG, Desk, at, playbook

NINE = at("2026-06-01T09:00:00Z")  # a Monday


def published(desk: Desk) -> list[tuple[str, bool, int]]:
    """Flag changes: key, raised, hours from Monday 9:00."""
    return [
        (f"{change.rule}/{change.subject}", change.raised, (change.moment - NINE) // HOUR) for change in desk.changes
    ]


@pytest.mark.parametrize(("minutes", "hours"), [(0, 1), (1, 1), (59, 1), (60, 2)])
def test_the_next_full_hour(minutes: int, hours: int) -> None:
    assert next_boundary(NINE + minutes * MINUTE, HOUR, 0) == NINE + hours * HOUR


def test_what_changed_is_evaluated_at_the_next_full_hour_and_then_at_midnight() -> None:
    desk = Desk()
    desk.say("message.received", NINE + MINUTE)
    assert desk.state.next_due_at == NINE + HOUR
    desk.say("message.received", NINE + 2 * MINUTE)
    assert (desk.state.next_due_at, desk.state.evaluated_at) == (NINE + HOUR, 0)
    desk.clock(NINE + HOUR)
    assert (desk.state.next_due_at, desk.state.evaluated_at) == (NINE + 15 * HOUR, NINE + HOUR)
    desk.clock(NINE + 4 * DAY)
    assert desk.state.evaluated_at == NINE - 9 * HOUR + 4 * DAY


def test_use_is_looked_at_every_quarter_of_a_day() -> None:
    desk = Desk()
    desk.say("usage.login", NINE + MINUTE)
    desk.clock(NINE + HOUR)
    assert desk.state.next_due_at == at("2026-06-01T12:00:00Z")


def test_the_score_of_the_day_is_of_its_last_evaluation() -> None:
    desk = Desk()
    desk.say("survey.answered", NINE, instrument="nps", score=9)
    desk.clock(NINE + HOUR)
    assert list(desk.state.score_days) == [str(day_of(NINE))]
    first = desk.state.score_days[str(day_of(NINE))]
    desk.say("survey.answered", NINE + HOUR, instrument="nps", score=1)
    desk.clock(NINE + 2 * HOUR)
    assert desk.state.score_days[str(day_of(NINE))] != first
    desk.clock(NINE + 40 * DAY)
    newest = day_of(NINE) + 40
    assert [int(day) for day in desk.state.score_days] == list(range(newest - SCORE_DAYS_KEPT + 1, newest + 1))


def test_whoever_has_been_silent_for_over_a_year_is_left_alone() -> None:
    desk = Desk()
    desk.say("note.added", NINE)
    desk.clock(NINE + (ACTIVE_DAYS + 9) * DAY)
    assert desk.state.next_due_at == 0
    assert desk.state.evaluated_at == NINE - 9 * HOUR + (ACTIVE_DAYS + 1) * DAY
    desk.say("note.added", NINE + (ACTIVE_DAYS + 20) * DAY)
    assert desk.state.next_due_at > 0


def promised(desk: Desk, name: str, due: str, received: int = NINE) -> None:
    desk.say("promise.made", received, promise=name, due=due)


def test_a_flag_gets_worse_in_place_and_clears() -> None:
    desk = Desk()
    promised(desk, "p", "2026-06-03T09:00:00Z")
    desk.clock(NINE + 30 * HOUR)
    flag = desk.state.flags["expectation_violated/p"]
    assert (flag.severity, flag.since) == (Severity.WARNING, NINE + DAY)
    desk.clock(NINE + 2 * DAY)
    flag = desk.state.flags["expectation_violated/p"]
    assert (flag.severity, flag.since) == (Severity.CRITICAL, NINE + DAY)
    desk.clock(NINE + 3 * DAY)
    desk.say("promise.kept", NINE + 3 * DAY, promise="p")
    assert desk.flags == set()  # what ends a flag's condition clears it at once
    assert published(desk) == [
        ("expectation_violated/p", True, 24),
        ("expectation_violated/p", True, 48),
        ("expectation_violated/p", False, 72),
    ]


def test_a_rule_that_is_off_neither_raises_nor_keeps() -> None:
    desk = Desk()
    promised(desk, "p", "2026-06-01T09:30:00Z")
    desk.clock(NINE + HOUR)
    assert desk.flags == {"expectation_violated/p"}
    desk.terms = Terms(playbook("expectation_violated", enabled=False))
    desk.clock(NINE + DAY)
    assert desk.flags == set()


def test_within_its_cooldown_a_flag_is_not_raised_again_unless_it_is_worse() -> None:
    desk = Desk(Terms(playbook("expectation_violated", cooldown_days=7)))
    promised(desk, "p", "2026-06-03T09:00:00Z")
    desk.clock(NINE + DAY)  # a warning
    promised(desk, "p", "2026-06-05T09:00:00Z", NINE + DAY)
    desk.clock(NINE + DAY + HOUR)  # put off: cleared
    desk.clock(NINE + 4 * DAY - 1)  # a warning again, within the cooldown
    assert desk.flags == set()
    desk.clock(NINE + 4 * DAY)
    assert desk.state.flags["expectation_violated/p"].severity == Severity.CRITICAL
    desk.say("promise.kept", NINE + 4 * DAY, promise="p")
    desk.clock(NINE + 4 * DAY + HOUR)
    promised(desk, "p", "2026-06-10T09:00:00Z", NINE + 4 * DAY + HOUR)
    desk.clock(NINE + 10 * DAY)  # broken again on Wednesday, within 7 days of Friday
    assert desk.flags == set()
    desk.clock(NINE + 11 * DAY - 1)
    assert desk.flags == set()
    desk.clock(NINE + 11 * DAY)  # the end of the cooldown
    assert published(desk)[-1] == ("expectation_violated/p", True, 11 * 24)


@pytest.mark.parametrize("status", [*sorted(ENDED), "Churned"])
def test_when_it_is_over_nothing_stands_and_nothing_is_watched(status: str) -> None:
    desk = Desk()
    promised(desk, "p", "2026-06-01T09:30:00Z")
    desk.say("survey.answered", NINE, instrument="nps", score=1, person="ana")
    desk.clock(NINE + HOUR)
    assert desk.flags == {"expectation_violated/p", "nps_detractor/ana"}
    desk.say("relationship.updated", NINE + HOUR, status=status)
    desk.clock(NINE + 2 * HOUR)
    assert desk.flags == set()
    assert desk.state.next_due_at == 0
    desk.say("survey.answered", NINE + 2 * HOUR, instrument="nps", score=1, person="bob")
    desk.clock(NINE + 30 * DAY)
    assert desk.flags == set()
    assert len(desk.changes) == 4
    desk.say("relationship.updated", NINE + 30 * DAY, status="active")
    desk.clock(NINE + 31 * DAY)
    assert desk.flags == {"expectation_violated/p"}


def test_history_is_evaluated_quietly_at_its_end_and_what_follows_is_told() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, time=NINE - 9 * DAY, promise="p", due="2026-05-28", backfill=True)
    desk.say("promise.made", NINE + 1, time=NINE - DAY, promise="q", due="2026-06-02T09:00:00Z", backfill=True)
    assert (desk.state.suppressed_until, desk.state.next_due_at) == (NINE + 1, NINE + 1 + SETTLE)
    desk.clock(NINE + SETTLE)
    assert desk.state.evaluated_at == 0  # more may come
    desk.clock(NINE + 1 + SETTLE)
    assert desk.state.evaluated_at == NINE + 1
    assert desk.state.flags["expectation_violated/p"].suppressed
    # q warned a day and a weekend before: Monday 9:00, which history reaches
    assert [(change.subject, change.suppressed) for change in desk.changes] == [("p", True), ("q", True)]
    desk.clock(NINE + DAY)
    assert [(change.subject, change.suppressed, change.severity) for change in desk.changes[2:]] == [
        ("q", False, Severity.CRITICAL)
    ]


def test_what_is_quiet_starts_no_cooldown() -> None:
    desk = Desk(Terms(playbook("expectation_violated", cooldown_days=7)))
    desk.say("promise.made", NINE, time=NINE - 9 * DAY, promise="p", due="2026-05-28", backfill=True)
    desk.clock(NINE + SETTLE)
    desk.say("promise.kept", NINE + MINUTE, promise="p")
    promised(desk, "p", "2026-06-01T10:30:00Z", NINE + 2 * MINUTE)
    desk.clock(NINE + 2 * HOUR)
    assert [(change.raised, change.suppressed) for change in desk.changes] == [
        (True, True),
        (False, False),
        (True, False),
    ]


def test_a_standing_feature_flag_stays_until_the_feature_has_recovered() -> None:
    """Hysteresis through the engine: reports steady at 40 a day, export at 40 and then less."""
    desk = Desk()
    midnight = at("2026-06-01")

    def day(ago: int, export: float) -> None:
        for hour in (3, 9, 15, 21):
            now = midnight - ago * DAY + hour * HOUR
            desk.say("usage.feature_used", now, feature="export", quantity=export / 4)
            desk.say("usage.feature_used", now, feature="reports", quantity=10)

    for ago in range(70, 7, -1):
        day(ago, 40)
    for ago in range(7, 0, -1):
        day(ago, 30)
    desk.clock(midnight)
    # 210 of 280: down 25 %
    assert desk.flags == {"feature_decline/export"}
    published = len(desk.changes)
    day(0, 32)
    desk.clock(midnight + DAY)
    assert desk.flags == {"feature_decline/export"}  # 212 of 278.75: down 24 %
    for later in range(1, 7):
        day(-later, 32)
    desk.clock(midnight + 7 * DAY)  # 224 of 271.25, as one week of the eight had 30 a day: down 17 %
    assert desk.flags == {"feature_decline/export"}
    assert len(desk.changes) == published
    for later in range(7, 14):
        day(-later, 38)
    desk.clock(midnight + 14 * DAY)
    assert desk.flags == set()


def test_the_latest_changes_are_kept() -> None:
    desk = Desk()
    for number in range(CHANGES_KEPT + 6):
        desk.say("survey.answered", NINE + number, instrument="nps", score=1, person=f"person {number}")
    assert len(desk.changes) == CHANGES_KEPT + 6  # nobody has been told of them yet
    assert remembered(desk.changes) == desk.changes[6:]
    assert forget_published(desk.row, LOG)
    assert not forget_published(desk.row, LOG)
    assert len(desk.changes) == CHANGES_KEPT
    assert desk.changes[0].subject == "person 6"


def test_what_one_record_brings_about_is_kept_whole_and_in_order() -> None:
    desk = Desk()
    for number in range(CHANGES_KEPT + 6):
        promised(desk, f"p{number}", "2026-06-01T09:30:00Z")
    desk.clock(NINE + HOUR)
    assert [change.cause.step for change in desk.changes] == list(range(CHANGES_KEPT + 6))
    assert {change.cause.offset for change in desk.changes} == {desk.offset}
    assert not forget_published(desk.row, LOG)
    promised(desk, "q", "2026-06-01T10:30:00Z", NINE + HOUR)
    desk.clock(NINE + 2 * HOUR)
    assert len(desk.changes) == CHANGES_KEPT
    assert desk.changes[-1].cause.step == 0


def test_of_too_many_flags_raised_by_events_the_one_that_ends_first_is_cleared() -> None:
    desk = Desk()
    for number in range(EVENT_FLAGS_KEPT + 1):
        desk.say("survey.answered", NINE + number, instrument="nps", score=1, person=f"p{number}")
    assert len(desk.flags) == EVENT_FLAGS_KEPT
    assert desk.flags == {f"{'nps_detractor'}/p{number}" for number in range(1, EVENT_FLAGS_KEPT + 1)}
    assert ("nps_detractor/p0", False, 0) in published(desk)
