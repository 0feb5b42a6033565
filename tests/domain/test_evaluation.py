"""Canonical evaluation: when, what it raises and clears, and what a state remembers of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from shared.domain.columns.block import Block
from shared.domain.columns.view import View
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND
from shared.domain.engine import evaluation
from shared.domain.engine.changes import CHANGES_KEPT, forget_published, remembered
from shared.domain.engine.evaluation import ACTIVE_DAYS, SCORE_DAYS_KEPT, next_boundary, warm_up
from shared.domain.engine.judging import EVENT_FLAGS_KEPT
from shared.domain.engine.one_event import SETTLE
from shared.domain.engine.run import Item, usage_entry
from shared.domain.engine.terms import Terms, staggered
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.flags import Severity, StandingFlag
from shared.domain.relationship.state import ENDED
from shared.domain.rules.declaration import RuleResult, StateRule, Trigger
from shared.domain.rules.table import RULES, state_rules
from tests.domain.builders import LOG, Desk, at, interaction, playbook

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


def test_use_that_cannot_have_fallen_before_midnight_is_looked_at_then() -> None:
    desk = Desk()
    desk.say("usage.login", NINE + MINUTE)
    desk.clock(NINE + HOUR)
    assert desk.state.next_due_at == at("2026-06-02T00:00:00Z")


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
    assert {change.cause.position for change in desk.changes} == {desk.position}
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


# --- what is run, and when --------------------------------------------------------------------------------------------


class Asked:
    """Counts the rows that each state rule, and the scores, are asked about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: Counter[str] = Counter()
        for rule in state_rules():
            monkeypatch.setitem(RULES, rule.name, replace(rule, evaluate=self._counted(rule)))
        monkeypatch.setattr(evaluation, "score_columns", self._scores(evaluation.score_columns))

    def since(self) -> set[str]:
        """Who has been asked since this was last called."""
        asked, self.rows = set(self.rows), Counter()
        return asked

    def _counted(self, rule: StateRule) -> Callable[..., RuleResult]:
        def counted(view: View, thresholds: Any) -> RuleResult:
            self.rows[rule.name] += len(view)
            return rule.evaluate(view, thresholds)

        return counted

    def _scores(self, compute: Callable[[View], Any]) -> Callable[[View], Any]:
        def counted(view: View) -> Any:
            self.rows["scores"] += len(view)
            return compute(view)

        return counted


def test_only_what_is_triggered_or_due_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, desk = Asked(monkeypatch), Desk()
    every = {rule.name for rule in state_rules()} | {"scores"}
    of_use = {rule.name for rule in state_rules() if Trigger.USE in rule.triggers}
    of_contact = {rule.name for rule in state_rules() if Trigger.TOUCHPOINT in rule.triggers}
    desk.say("usage.login", NINE)
    desk.clock(NINE + HOUR)
    assert asked.since() == every  # for the first time
    desk.say("usage.login", NINE + HOUR)
    desk.clock(NINE + 2 * HOUR)
    assert asked.since() == of_use | {"scores"} < every
    desk.clock(NINE + 4 * HOUR)
    assert asked.since() == set()
    desk.say("message.received", NINE + 5 * HOUR)
    desk.clock(NINE + 6 * HOUR)
    assert asked.since() >= of_contact | {"scores"} > {"silence"}
    desk.clock(NINE + 9 * HOUR)
    asked.since()
    desk.clock(NINE + 15 * HOUR)  # midnight
    assert {"usage_drop", "feature_decline", "scores"} <= asked.since() <= every - {"silence", "expectation_violated"}
    desk.say("usage.login", NINE + 15 * HOUR + MINUTE)
    desk.terms = Terms(playbook("silence", params={"minimum_days": 9}))
    desk.clock(NINE + 16 * HOUR)
    assert asked.since() == every  # under another playbook


def test_another_playbook_counts_with_the_next_day_where_nothing_comes_in() -> None:
    desk = Desk(phase_of(17 * MINUTE), Block(feature_days=68, phase=lambda id: 17 * MINUTE))
    often(desk, NINE)
    desk.clock(NINE + 10 * DAY)
    assert desk.flags == {"silence"}
    desk.terms = phase_of(17 * MINUTE, playbook("silence", enabled=False))
    midnight = at("2026-06-12")
    desk.clock(midnight + 17 * MINUTE - 1)
    assert desk.flags == {"silence"}
    desk.clock(midnight + 17 * MINUTE)
    assert desk.flags == set()
    desk.terms = phase_of(17 * MINUTE)
    desk.clock(midnight + DAY + 17 * MINUTE - 1)
    assert desk.flags == set()
    desk.clock(midnight + DAY + 17 * MINUTE)
    assert desk.flags == {"silence"}


def phase_of(phase: int, book: Playbook | None = None) -> Terms:
    """Canonical moments lie so far into the hour."""
    return Terms(book or playbook(), phase=lambda id: phase)


def test_to_warm_up_is_to_run_every_rule_and_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    warm_up(Terms(playbook()))
    assert asked.since() == {rule.name for rule in state_rules()} | {"scores"}


def test_what_is_said_of_a_relationship_has_it_held_against_its_new_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, desk = Asked(monkeypatch), Desk()
    desk.clock(NINE)
    desk.say("usage.login", NINE)
    desk.clock(NINE + HOUR)
    asked.since()
    desk.say("relationship.updated", NINE + HOUR, segment="enterprise")
    desk.clock(NINE + 2 * HOUR)
    assert asked.since() == {rule.name for rule in state_rules()} | {"scores"}


def test_a_rule_that_is_off_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, desk = Asked(monkeypatch), Desk(Terms(playbook("usage_drop", enabled=False)))
    desk.say("usage.login", NINE)
    desk.clock(NINE + 4 * HOUR)
    assert "usage_drop" not in asked.since()


@pytest.mark.parametrize(("id", "other"), [("acme/a", "acme/b"), ("acme/1", "other/1")])
def test_canonical_moments_are_spread_over_the_hour_by_the_id(id: str, other: str) -> None:
    assert 0 <= staggered(id) < HOUR
    assert staggered(id) % SECOND == 0
    assert staggered(id) == staggered(id) != staggered(other)
    phases = [staggered(f"acme/{number}") // MINUTE for number in range(6_000)]
    assert 60 <= min(Counter(phases).values()) <= max(Counter(phases).values()) <= 150  # 100 are to be expected


def test_every_moment_of_a_relationship_has_its_phase() -> None:
    phase = 17 * MINUTE
    desk = Desk(Terms(playbook(), phase=lambda id: phase), Block(feature_days=68, phase=lambda id: phase))
    desk.say("usage.login", NINE)
    assert desk.state.next_due_at == NINE + phase
    desk.clock(NINE + phase)
    assert desk.state.next_due_at == at("2026-06-02T00:17:00Z")
    desk.say("usage.login", NINE + phase)
    assert desk.state.next_due_at == NINE + HOUR + phase
    desk.clock(at("2026-06-01T23:59:59Z"))
    assert desk.state.next_due_at == at("2026-06-02T00:17:00Z")
    assert next_boundary(NINE, 10 * MINUTE, phase) == NINE + 7 * MINUTE  # of a shorter grain, what is left of it


# --- what stands ------------------------------------------------------------------------------------------------------


def test_a_flag_of_a_rule_that_is_not_known_any_more_is_kept_and_does_no_harm() -> None:
    gone = StandingFlag("gone", "x", Severity.CRITICAL, NINE, reason="as it was", until=NINE + MINUTE)
    desk = Desk()
    desk.state.flags = {"gone/x": gone}
    desk.say("usage.login", NINE)
    desk.say("message.received", NINE)
    desk.say("relationship.updated", NINE, stage="x")
    desk.clock(NINE + 30 * DAY)
    assert desk.state.flags == {"gone/x": gone}
    assert desk.state.next_due_at > NINE + 30 * DAY
    desk.say("relationship.updated", NINE + 30 * DAY, status="churned")
    desk.clock(NINE + 31 * DAY)
    assert (desk.state.flags, desk.state.next_due_at) == ({"gone/x": gone}, 0)
    assert desk.changes == ()


def often(desk: Desk, until: int) -> None:
    """A message every day at 9:00 from two weeks before on, the last at `until`."""
    for ago in range(14, -1, -1):
        desk.say("message.received", until - ago * DAY, person="ana")


def test_what_is_said_of_a_standing_flag_stays_fresh() -> None:
    desk = Desk(Terms(playbook("silence", cooldown_days=7)))
    desk.say("relationship.updated", NINE - 15 * DAY, custom={"calendar": "everyday"})
    often(desk, NINE)
    desk.clock(NINE + 5 * DAY)
    raised = desk.state.flags["silence"]
    assert (raised.reason, raised.cause) == ("ana silent for 5 days, usual gap 1", desk.changes[-1].cause)
    desk.clock(NINE + 9 * DAY)
    fresh = desk.state.flags["silence"]
    assert (fresh.reason, fresh.since) == ("ana silent for 8.6 days, usual gap 1", raised.since)
    assert fresh.numbers["silent"] == 8.6  # as of midnight
    assert (fresh.cause.position, len(desk.changes)) == (desk.position, 1)  # nobody is alerted anew
    desk.clock(NINE + 9 * DAY + HOUR)
    assert desk.state.flags["silence"] == fresh
    desk.clock(NINE + 600 * DAY)
    assert desk.state.flags["silence"].reason.startswith("ana silent for 400.6 days")


def test_a_word_from_them_ends_silence_at_once() -> None:
    desk = Desk()
    often(desk, NINE)
    desk.clock(NINE + 10 * DAY)
    assert desk.flags == {"silence"}
    desk.say("message.sent", NINE + 10 * DAY + MINUTE)
    desk.say("usage.login", NINE + 10 * DAY + MINUTE)
    desk.say("message.received", NINE + 10 * DAY + MINUTE, backfill=True, time=NINE - DAY)
    assert desk.flags == {"silence"}
    desk.say("message.received", NINE + 10 * DAY + 2 * MINUTE)
    assert desk.flags == set()
    assert (desk.changes[-1].raised, desk.changes[-1].moment) == (False, NINE + 10 * DAY + 2 * MINUTE)
    assert desk.changes[-1].cause.position == desk.position


def test_a_retraction_ends_what_it_takes_back_at_once() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, id="made", promise="p", due="2026-06-01T09:30:00Z")
    promised(desk, "q", "2026-06-01T09:30:00Z")
    desk.clock(NINE + HOUR)
    desk.say("event.retracted", NINE + HOUR + MINUTE, about="made")
    assert desk.flags == {"expectation_violated/q"}
    assert (desk.changes[-1].subject, desk.changes[-1].moment) == ("p", NINE + HOUR + MINUTE)


def test_many_uses_after_an_event_that_may_end_a_flag_are_folded_in_their_order() -> None:
    one, other = Desk(), Desk()
    for desk in (one, other):
        promised(desk, "p", "2026-06-01T09:30:00Z")
        promised(desk, "q", "2026-06-01T09:30:00Z")
        desk.clock(NINE + HOUR)
    said = [("usage.login", {}), ("promise.kept", {"promise": "p"}), ("usage.login", {}), ("note.added", {})] * 2
    items = []
    for number, (type, data) in enumerate(said):
        event = interaction(type, NINE + HOUR + number, f"x{number}", data)
        items.append(Item(one.position + 1 + number, NINE + HOUR + number, event, data, usage_entry(event, data)))
    one.fold(*items)
    for item in items:
        other.fold(item)
    assert msgspec.to_builtins(one.state) == msgspec.to_builtins(other.state)
    assert one.flags == {"expectation_violated/q"}
    assert one.changes[-1].moment == NINE + HOUR + 1


def test_the_severity_is_the_playbooks() -> None:
    desk = Desk(Terms(playbook("expectation_violated", severity=Severity.INFO)))
    promised(desk, "p", "2026-06-03T09:00:00Z")
    desk.clock(NINE + 4 * DAY)
    assert [change.severity for change in desk.changes] == [Severity.INFO]
    desk = Desk(Terms(playbook("nps_detractor", severity=Severity.INFO)))
    desk.say("survey.answered", NINE, instrument="nps", score=1)
    assert [change.severity for change in desk.changes] == [Severity.INFO]
