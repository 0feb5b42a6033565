"""Flags that did not end by themselves: why they were cleared, and how they stand when that is undone."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.contract.events import DAY, HOUR, MINUTE
from shared.domain.engine.judging import EVENT_FLAGS_KEPT
from shared.domain.engine.terms import Terms
from shared.domain.playbooks.model import Match, Override, Playbook
from shared.domain.relationship.flags import Why
from tests.domain.builders import Desk, at, playbook

NINE = at("2026-06-01T09:00:00Z")  # a Monday


def under(desk: Desk, book: Playbook, now: int) -> None:
    """Another playbook, and an hour in which something comes in that ends nothing."""
    desk.terms = Terms(book)
    desk.say("note.added", now - MINUTE)
    desk.clock(now)


def told(desk: Desk) -> list[tuple[str, str]]:
    """The latest change of each flag: its key, and why it was cleared ("" if it stands)."""
    latest = {f"{one.rule}/{one.subject}".rstrip("/"): "" if one.raised else str(one.why) for one in desk.changes}
    return sorted(latest.items())


def silent(book: Playbook | None = None) -> Desk:
    """Someone who wrote every day, and has been silent for ten days: Thursday, 9:00."""
    desk = Desk(Terms(book or playbook()))
    for ago in range(14, -1, -1):
        desk.say("message.received", NINE - ago * DAY, person="ana")
    desk.clock(NINE + 10 * DAY)
    assert desk.flags == {"silence"}
    return desk


LATER = NINE + 10 * DAY + HOUR


def detractor(**settings: Any) -> Desk:
    """Someone has answered a survey."""
    desk = Desk(Terms(playbook("nps_detractor", **settings)))
    desk.say("survey.answered", NINE, id="answer", instrument="nps", score=2, person="ana")
    assert desk.flags == {"nps_detractor/ana"}
    return desk


# --- why a flag was cleared -------------------------------------------------------------------------------------------


def test_a_condition_ends_by_itself() -> None:
    desk = silent()
    desk.say("message.received", LATER, person="ana")
    desk.say("survey.answered", LATER, instrument="nps", score=2, person="ana")
    desk.say("survey.answered", LATER, instrument="nps", score=9, person="ana")
    assert told(desk) == [("nps_detractor/ana", Why.ENDED), ("silence", Why.ENDED)]


def test_what_is_over_in_time_has_ended_by_itself_even_where_its_rule_is_off_by_then() -> None:
    desk = detractor()
    desk.terms = Terms(playbook("nps_detractor", enabled=False))
    desk.block.schedule(desk.row, NINE + 90 * DAY)
    desk.clock(NINE + 90 * DAY)
    assert told(desk) == [("nps_detractor/ana", Why.ENDED)]


def test_a_rule_that_is_off_takes_its_flags_away() -> None:
    desk = silent()
    under(desk, playbook("silence", enabled=False), LATER)
    assert told(desk) == [("silence", Why.RULE_OFF)]


def test_other_thresholds_take_a_flag_away() -> None:
    desk = silent()
    under(desk, playbook("silence", params={"minimum_days": 60}), LATER)
    assert told(desk) == [("silence", Why.SETTINGS)]


def test_other_thresholds_of_another_rule_take_nothing_away() -> None:
    desk = Desk()
    desk.say("promise.broken", NINE, promise="p")
    desk.clock(NINE + HOUR)
    assert desk.flags == {"expectation_violated/p"}
    desk.terms = Terms(playbook("silence", params={"minimum_days": 60}))
    desk.block.schedule(desk.row, NINE + 30 * DAY)
    desk.clock(NINE + 30 * DAY)
    assert told(desk) == [("expectation_violated/p", Why.ENDED)]


@pytest.mark.parametrize(
    ("settings", "why"), [({"enabled": False}, Why.RULE_OFF), ({"params": {"minimum_days": 60}}, Why.SETTINGS)]
)
@pytest.mark.parametrize("backfill", [False, True])
def test_another_segment_takes_away_what_its_settings_do_not_keep(
    settings: dict[str, Any], why: Why, backfill: bool
) -> None:
    desk = silent(playbook("silence", overrides=(Override(match=Match(segment=("gold",)), **settings),)))
    desk.say("relationship.updated", LATER - MINUTE, segment="gold", backfill=backfill)
    desk.clock(LATER)
    assert told(desk) == [("silence", why)]


def test_another_calendar_takes_away_what_is_no_silence_by_it() -> None:
    desk = Desk()
    desk.say("relationship.updated", NINE - 15 * DAY, custom={"calendar": "everyday"})
    for ago in range(14, -1, -1):
        desk.say("message.received", NINE - ago * DAY, person="ana")
    desk.clock(NINE + 6 * DAY)
    desk.say("relationship.updated", NINE + 6 * DAY, custom={"calendar": "business"})
    assert told(desk) == [("silence", Why.SETTINGS)]


@pytest.mark.parametrize("backfill", [False, True])
def test_whose_relationship_is_over_has_no_flags(backfill: bool) -> None:
    desk = silent()
    desk.say("relationship.updated", LATER - MINUTE, status="churned", backfill=backfill)
    desk.clock(LATER)
    assert told(desk) == [("silence", Why.OVER)]


BETTER = {"data": {"instrument": "nps", "score": 9, "person": "ana"}}


@pytest.mark.parametrize(("type", "more"), [("event.retracted", {}), ("event.corrected", {"replacement": BETTER})])
def test_what_is_corrected_takes_away_what_rested_on_it(type: str, more: dict[str, Any]) -> None:
    desk = detractor()
    desk.say("promise.made", NINE, id="made", promise="p", due="2026-06-01T09:30:00Z")
    desk.clock(NINE + HOUR)
    desk.say(type, NINE + HOUR, about="answer", **more)
    desk.say("event.retracted", NINE + HOUR, about="made")
    assert told(desk) == [("expectation_violated/p", Why.CORRECTED), ("nps_detractor/ana", Why.CORRECTED)]


def test_what_makes_room_has_not_ended() -> None:
    desk = Desk()
    for number in range(EVENT_FLAGS_KEPT + 1):
        desk.say("survey.answered", NINE + number, instrument="nps", score=1, person=f"p{number}")
    assert ("nps_detractor/p0", Why.ROOM) in told(desk)


# --- what is undone: at once, whatever the cooldown -------------------------------------------------------------------

COOL = {"cooldown_days": 30}


@pytest.mark.parametrize("mistake", [{"enabled": False}, {"params": {"minimum_days": 60}}])
def test_a_mistake_in_the_playbook_costs_no_cooldown(mistake: dict[str, Any]) -> None:
    desk = silent(playbook("silence", **COOL))
    under(desk, playbook("silence", **COOL, **mistake), LATER)
    assert desk.flags == set()
    under(desk, playbook("silence", **COOL), LATER + HOUR)
    assert desk.state.flags["silence"].since == LATER + HOUR


@pytest.mark.parametrize(("mistake", "put_back"), [({"tier": "x"}, {"tier": ""}), ({"status": "lost"}, {"status": ""})])
@pytest.mark.parametrize("later", [MINUTE, 2 * HOUR])
def test_a_mistake_in_the_directory_costs_no_cooldown(
    mistake: dict[str, str], put_back: dict[str, str], later: int
) -> None:
    off = Override(match=Match(tier=("x",)), params={"minimum_days": 60})
    desk = silent(playbook("silence", **COOL, overrides=(off,)))
    desk.say("relationship.updated", LATER, **mistake)
    assert desk.flags == set()
    desk.say("relationship.updated", LATER + later, **put_back)
    desk.clock(LATER + 4 * HOUR)
    assert desk.flags == {"silence"}


def test_what_was_retracted_costs_no_cooldown() -> None:
    desk = detractor(**COOL)
    desk.say("event.retracted", NINE, about="answer")
    desk.say("survey.answered", NINE + 1, instrument="nps", score=2, person="ana")
    assert desk.flags == {"nps_detractor/ana"}


def test_what_ended_by_itself_cools_down_whatever_is_undone_meanwhile() -> None:
    desk = silent(playbook("silence", **COOL))
    desk.say("message.received", LATER, person="ana")
    under(desk, playbook("silence", **COOL, enabled=False), LATER + HOUR)
    under(desk, playbook("silence", **COOL), LATER + 2 * HOUR)
    raised = desk.changes[0].moment
    desk.clock(raised + 30 * DAY - 1)
    assert desk.flags == set()
    desk.clock(raised + 30 * DAY)
    assert desk.flags == {"silence"}


def test_what_made_room_cools_down() -> None:
    desk = Desk(Terms(playbook("nps_detractor", **COOL)))
    for number in range(EVENT_FLAGS_KEPT - 1):
        desk.say("survey.answered", NINE + number, instrument="nps", score=1, person=f"p{number}")
    desk.say("survey.answered", NINE + MINUTE, time=NINE - DAY, instrument="nps", score=1, person="first to end")
    desk.say("survey.answered", NINE + MINUTE, instrument="nps", score=1, person="one more")
    desk.say("survey.answered", NINE + HOUR, instrument="nps", score=1, person="first to end")
    assert "nps_detractor/first to end" not in desk.flags
