"""Retracted and corrected touchpoints: everything that came of them is undone or replaced."""

from __future__ import annotations

import pytest

from shared.domain.columns.row import INBOUND, TOTAL_DAYS
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY
from shared.domain.engine.corrections import target_of
from shared.domain.engine.run import Item, Prefetched, Run
from shared.domain.engine.step import step_many
from shared.domain.engine.terms import Terms
from shared.domain.relationship.facts import Facts
from tests.domain.builders import ID, LOG, Desk, at, counters_of, interaction, playbook

NOON = at("2026-06-01T12:00:00Z")
TODAY = day_of(NOON)


def counts(desk: Desk) -> dict[tuple[str, str, int], float]:
    """Counters that are not nought: by metric, person and days from today."""
    return {
        (metric, person, day - TODAY): count
        for month in desk.row.cells.values()
        for day, metric, person, count in counters_of(month)
        if count
    }


@pytest.mark.parametrize("stored", [False, True])
def test_a_retraction_undoes(stored: bool) -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana", channel="email")
    desk.say("message.received", NOON - DAY, time=NOON - DAY, id="m2", person="bob")
    if stored:
        desk.store()
    desk.say("event.retracted", NOON + 1, id="r1", about="m1")
    assert counts(desk) == {("in:message", "bob", -1): 1}
    assert set(desk.state.facts.people) == {"bob"}
    entry = desk.row.pending["acme/acct-1/test#m1"]
    assert (entry.retracted, entry.retracted_by, entry.event_position, entry.position) == (True, "test#r1", 0, 2)
    assert entry.rev == (1 if stored else 0)
    assert desk.shown().windows.inbound == (1, 1, 1, 1)


def test_a_retraction_counts_once_however_often_it_is_said() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana")
    desk.say("event.retracted", NOON + 1, about="m1")
    desk.say("event.retracted", NOON + 2, about="m1")
    assert counts(desk) == {}
    assert desk.state.facts == Facts()


@pytest.mark.parametrize("stored", [False, True])
def test_a_retraction_before_its_event(stored: bool) -> None:
    desk = Desk()
    desk.say("event.retracted", NOON, id="r1", about="m1")
    if stored:
        desk.store()
    desk.say("message.received", NOON + 1, id="m1", person="ana")
    assert counts(desk) == {}
    assert desk.state.facts == Facts()
    assert desk.state.events == 1


def test_a_correction_before_its_event() -> None:
    desk = Desk()
    replacement = {"type": "message.sent", "time": "2026-05-31T12:00:00Z", "data": {"person": "bob"}}
    desk.say("event.corrected", NOON, about="m1", replacement=replacement)
    desk.say("message.received", NOON + 1, id="m1", person="ana")
    assert counts(desk) == {("out:message", "bob", -1): 1}
    assert desk.state.facts == Facts(first_touch=NOON - DAY, last_out=NOON - DAY)


def test_a_correction_replaces() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana", channel="email")
    desk.store()
    replacement = {
        "type": "meeting.held",
        "time": "2026-04-30T12:00:00Z",
        "data": {"person": "bob", "channel": "video"},
    }
    desk.say("event.corrected", NOON + 1, id="c1", about="m1", replacement=replacement)
    assert counts(desk) == {("both:video", "bob", -32): 1}
    entry = desk.row.pending["acme/acct-1/test#m1"]
    assert (entry.type, entry.direction, entry.channel, entry.person) == ("meeting.held", "both", "video", "bob")
    assert (entry.time, entry.corrected_by, entry.retracted) == (NOON - 32 * DAY, "test#c1", False)
    assert desk.state.facts.last_in == desk.state.facts.last_out == NOON - 32 * DAY
    assert set(desk.state.facts.people) == {"bob"}


def test_a_correction_of_the_time_alone() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana", channel="email")
    desk.say("event.corrected", NOON + 1, about="m1", replacement={"time": "2026-05-31T12:00:00Z"})
    assert counts(desk) == {("in:email", "ana", -1): 1}


def test_what_was_corrected_can_be_corrected_again_and_retracted() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana")
    for person in ("bob", "eve"):
        replacement = {"type": "message.received", "data": {"person": person}}
        desk.say("event.corrected", NOON + 1, about="m1", replacement=replacement)
        assert counts(desk) == {("in:message", person, 0): 1}
    desk.say("event.retracted", NOON + 2, about="m1")
    assert counts(desk) == {}


def test_another_source_may_correct() -> None:
    event = interaction("event.retracted", NOON)
    assert target_of(event, {"id": "m1"}) == "test#m1"
    assert target_of(event, {"id": "m1", "source": "crm"}) == "crm#m1"


def test_a_correction_that_is_read_again_changes_nothing() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana")
    desk.say("event.retracted", NOON + 1, id="r1", about="m1")
    before = (counts(desk), desk.state.facts, desk.state.events)
    data = {"id": "m1"}
    event = interaction("event.retracted", NOON + 1, "r1", data)
    desk.reload(next=0)
    step = desk.fold(Item(1, NOON + 1, event, data))
    assert (counts(desk), desk.state.facts, desk.state.events) == before
    assert (set(step.touched), step.duplicates) == ({"acme/acct-1"}, 0)  # it is told again


def test_an_entry_from_another_log_is_corrected_in_this_one() -> None:
    desk = Desk()
    desk.say("message.received", NOON, id="m1", person="ana")
    entry = desk.row.pending["acme/acct-1/test#m1"]
    entry.incarnation, entry.position = "zero", 1_000
    desk.say("event.retracted", NOON + 1, about="m1")
    assert counts(desk) == {}
    entry = desk.row.pending["acme/acct-1/test#m1"]
    assert (entry.incarnation, entry.position) == (LOG, 1)


def test_the_flag_of_a_retracted_answer_goes() -> None:
    desk = Desk()
    desk.say("survey.answered", NOON, id="s1", instrument="nps", score=2, person="ana")
    desk.say("survey.answered", NOON, id="s2", instrument="nps", score=2, person="bob")
    desk.say("event.retracted", NOON + 1, about="s1")
    assert desk.flags == {"nps_detractor/bob"}
    assert (desk.changes[-1].raised, desk.changes[-1].moment) == (False, NOON + 1)


def corrected(desk: Desk, score: float, person: str = "ana") -> None:
    data = {"instrument": "nps", "score": score, "person": person}
    desk.say("event.corrected", NOON + 1, about="s1", replacement={"type": "survey.answered", "data": data})


def test_a_corrected_answer_is_judged_anew() -> None:
    desk = Desk(Terms(playbook("nps_detractor", cooldown_days=1)))
    desk.say("survey.answered", NOON, id="s1", instrument="nps", score=2, person="ana")
    corrected(desk, 5)
    assert desk.state.flags["nps_detractor/ana"].reason == "ana answered NPS with 5"
    assert desk.state.flags["nps_detractor/ana"].since == NOON
    assert [change.raised for change in desk.changes] == [True, True]
    corrected(desk, 8)
    assert desk.flags == set()


def test_an_answer_that_was_worse_than_first_said_is_a_flag() -> None:
    desk = Desk()
    desk.say("survey.answered", NOON, id="s1", instrument="nps", score=9, person="ana")
    corrected(desk, 2)
    assert desk.flags == {"nps_detractor/ana"}
    assert desk.changes[0].evidence.events == ("test#s1",)


def test_an_answer_that_was_another_persons() -> None:
    desk = Desk()
    desk.say("survey.answered", NOON, id="s1", instrument="nps", score=2, person="ana")
    corrected(desk, 2, "bob")
    assert desk.flags == {"nps_detractor/bob"}
    assert [(change.subject, change.raised, change.cause.step) for change in desk.changes[1:]] == [
        ("bob", True, 0),
        ("ana", False, 1),
    ]


def test_another_time_for_what_has_never_come_is_passed_over() -> None:
    desk = Desk()
    desk.say("event.corrected", NOON, about="m1", replacement={"time": "2026-05-30T12:00:00Z"})
    assert "acme/acct-1/test#m1" not in desk.row.pending
    desk.say("message.received", NOON + 1, id="m1", person="ana")
    assert counts(desk) == {("in:message", "ana", 0): 1}


def test_a_retraction_that_leaves_no_trace_needs_no_more_than_its_entry() -> None:
    whole, alone = Desk(), Desk()
    for desk in (whole, alone):
        for number in range(4):
            desk.say("message.received", NOON + number, id=f"m{number}", person="ana")
        desk.store()
    key = f"{ID.partition('/')[0]}/acct-1/test#m1"
    retraction = interaction("event.retracted", NOON + 9, "r1", {"id": "m1"})
    item = Item(4, NOON + 9, retraction, {"id": "m1"})
    whole.fold(item)
    only = Prefetched({key: alone.timeline[key]}, {}, {ID})
    step_many(alone.block, Run.of([item]), only, alone.terms, LOG, 0)
    assert (counts(alone), alone.state.facts) == (counts(whole), whole.state.facts)
    assert alone.row.pending[key].retracted_by == "test#r1"


def test_a_total_of_a_day_is_known_as_far_as_the_series_reach() -> None:
    desk = Desk()
    desk.say("message.received", NOON, person="ana")
    days = (TODAY, TODAY - 1, TODAY + 1, TODAY - TOTAL_DAYS)
    totals = [desk.block.columns.total_on(desk.row, INBOUND, day) for day in days]
    assert totals == [1.0, 0.0, None, None]
