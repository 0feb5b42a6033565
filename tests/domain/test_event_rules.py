"""What one event decides at once, folded as scoring does."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.contract.events import DAY, HOUR
from shared.domain.contract.types import EVENT_TYPES
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import Severity
from shared.domain.rules.declaration import EventRule
from shared.domain.rules.table import RULES
from tests.domain.builders import Desk, at, playbook

NOON = at("2026-06-01T12:00:00Z")


def answer(desk: Desk, received: int, score: float, person: str = "ana", **more: Any) -> str:
    return desk.say("survey.answered", received, instrument="nps", score=score, person=person, **more)


@pytest.mark.parametrize(
    ("score", "severity"),
    [(0, "critical"), (3, "critical"), (3.5, "warning"), (4, "warning"), (6, "warning"), (7, None), (10, None)],
)
def test_a_detractor_answers_0_to_6(score: float, severity: str | None) -> None:
    desk = Desk()
    key = answer(desk, NOON, score)
    if severity is None:
        assert desk.changes == ()
        return
    (change,) = desk.changes
    assert (change.rule, change.subject, change.severity) == ("nps_detractor", "ana", Severity(severity))
    assert change.reason == f"ana answered NPS with {score:g}"
    assert (change.moment, change.numbers, change.evidence.events) == (NOON, {"score": score}, (key,))
    assert desk.state.flags["nps_detractor/ana"].until == NOON + 90 * DAY


@pytest.mark.parametrize("instrument", ["csat", "enps"])
def test_other_instruments_have_no_detractors(instrument: str) -> None:
    desk = Desk()
    desk.say("survey.answered", NOON, instrument=instrument, score=1)
    assert desk.changes == ()


def test_words_are_quoted_and_cut() -> None:
    desk = Desk()
    desk.say("survey.answered", NOON, instrument="nps", score=1, text=" too slow ")
    assert desk.changes[0].reason == "someone answered NPS with 1: “too slow”"
    desk.say("survey.answered", NOON, instrument="nps", score=1, text="x" * 300)
    assert desk.changes[1].reason == f"someone answered NPS with 1: “{'x' * 200}”"


def test_a_better_answer_of_the_same_person_clears_it() -> None:
    desk = Desk()
    answer(desk, NOON, 2)
    answer(desk, NOON + 1, 9, "bob")
    assert desk.flags == {"nps_detractor/ana"}
    answer(desk, NOON + 2, 7)
    assert desk.flags == set()
    assert [change.raised for change in desk.changes] == [True, False]


def test_an_earlier_answer_that_comes_late_changes_nothing() -> None:
    desk = Desk()
    answer(desk, NOON, 2)
    answer(desk, NOON + 1, 9, time=NOON - DAY)
    assert desk.flags == {"nps_detractor/ana"}
    answer(desk, NOON + 2, 3, "bob", time=NOON + 2)  # the latest of all is now another's
    answer(desk, NOON + 3, 9, time=NOON - DAY)
    answer(desk, NOON + 4, 5, time=NOON - DAY)
    assert desk.state.flags["nps_detractor/ana"].numbers == {"score": 2}
    assert len(desk.changes) == 2


def test_a_detractor_who_has_thought_better_of_it_before_we_hear_of_it() -> None:
    desk = Desk()
    answer(desk, NOON, 9)
    answer(desk, NOON + 1, 2, time=NOON - DAY)
    assert desk.changes == ()


def test_an_answer_stands_for_ninety_days() -> None:
    desk = Desk()
    answer(desk, NOON, 2)
    desk.clock(NOON + 90 * DAY - 1)
    assert desk.flags == {"nps_detractor/ana"}
    assert desk.state.next_due_at == NOON + 90 * DAY
    desk.clock(NOON + 90 * DAY)
    assert desk.flags == set()
    assert [(change.raised, change.moment) for change in desk.changes] == [(True, NOON), (False, NOON + 90 * DAY)]


def test_an_answer_that_is_too_old_already_is_no_news() -> None:
    desk = Desk()
    answer(desk, NOON, 2, time=NOON - 90 * DAY)
    assert desk.changes == ()
    answer(desk, NOON, 2, time=NOON - 90 * DAY + 1)
    assert desk.flags == {"nps_detractor/ana"}


def test_history_raises_nothing() -> None:
    desk = Desk()
    answer(desk, NOON, 2, backfill=True)
    desk.say("relationship.updated", NOON, kind="partner", backfill=True)
    desk.say("price.change_planned", NOON, effective_at="2026-07-01", backfill=True)
    assert desk.changes == ()


def test_a_rule_that_is_off_says_nothing() -> None:
    desk = Desk(Terms(playbook("nps_detractor", enabled=False)))
    answer(desk, NOON, 2)
    assert desk.changes == ()


def test_within_its_cooldown_it_is_not_raised_again_unless_it_is_worse() -> None:
    desk = Desk(Terms(playbook("nps_detractor", cooldown_days=1)))
    answer(desk, NOON, 5)
    answer(desk, NOON + HOUR, 9)
    answer(desk, NOON + 2 * HOUR, 5)
    assert desk.flags == set()
    answer(desk, NOON + 3 * HOUR, 1)
    assert desk.state.flags["nps_detractor/ana"].severity == Severity.CRITICAL
    answer(desk, NOON + 4 * HOUR, 9)
    answer(desk, NOON + 27 * HOUR, 1)
    assert desk.flags == {"nps_detractor/ana"}


@pytest.mark.parametrize(
    ("directory", "whom"),
    [
        ({"kind": "partner"}, "partner"),
        ({"kind": "customer", "type": "BFF"}, "BFF"),
        ({"kind": "customer", "type": "Partner"}, "Partner"),
        ({"kind": "customer", "type": "Acquaintance"}, None),
        ({}, None),
    ],
)
def test_a_price_change_is_a_flag_for_those_who_invest_in_us(directory: dict[str, str], whom: str | None) -> None:
    desk = Desk()
    desk.say("relationship.updated", NOON, **directory)
    desk.say("price.change_planned", NOON, effective_at="2026-07-01", change=0.08)
    if whom is None:
        assert desk.changes == ()
        return
    (change,) = desk.changes
    assert (change.subject, change.severity) == ("price@2026-07-01", Severity.CRITICAL)
    assert change.reason == (
        f"price change (+0.08) planned for a {whom}, effective 2026-07-01: talk to them before it goes out"
    )
    assert change.numbers == {"days_ahead": 29.5}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"change": "+8 %"}, "terms change (+8 %) planned"),
        ({"change": -5}, "terms change (-5) planned"),
        ({"change": ""}, "terms change planned"),
        ({}, "terms change planned"),
    ],
)
def test_what_changes_is_said(more: dict[str, Any], words: str) -> None:
    desk = Desk()
    desk.say("relationship.updated", NOON, kind="partner")
    desk.say("terms.change_planned", NOON, effective_at="2026-07-01T06:00:00Z", **more)
    assert desk.changes[0].reason.startswith(words)
    assert "effective 2026-07-01:" in desk.changes[0].reason
    assert desk.changes[0].subject == "terms@2026-07-01T06:00:00Z"


def test_a_plan_stands_until_it_takes_effect_and_for_a_day_at_least() -> None:
    desk = Desk()
    desk.say("relationship.updated", NOON, kind="partner")
    desk.say("price.change_planned", NOON, effective_at="2026-06-20")
    desk.say("price.change_planned", NOON, effective_at="2026-06-01")
    assert {key: flag.until for key, flag in desk.state.flags.items()} == {
        "price_change_planned/price@2026-06-20": at("2026-06-20"),
        "price_change_planned/price@2026-06-01": NOON + DAY,
    }
    desk.clock(NOON + DAY)
    assert desk.flags == {"price_change_planned/price@2026-06-20"}
    desk.clock(at("2026-06-20"))
    assert desk.flags == set()


def test_types_are_meant_whatever_their_case() -> None:
    desk = Desk(Terms(playbook("price_change_planned", params={"kinds": (), "types": ("Key Account",)})))
    desk.say("relationship.updated", NOON, type="key account")
    desk.say("price.change_planned", NOON, effective_at="2026-07-01")
    assert len(desk.changes) == 1


def test_what_a_rule_goes_by_is_a_type_of_the_contract() -> None:
    judged = {type for rule in RULES.values() if isinstance(rule, EventRule) for type in rule.types}
    assert judged <= EVENT_TYPES.keys()
