"""Facts: what touchpoints leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.contract.days import day_of
from shared.domain.contract.declaration import Direction, EventClass
from shared.domain.contract.events import DAY, MINUTE, Interaction
from shared.domain.contract.types import EVENT_TYPES, event_type
from shared.domain.relationship import fold
from shared.domain.relationship.facts import Facts, Person, Promise, Survey
from shared.domain.relationship.fold import (
    DAYS_KEPT,
    OPEN_KEPT,
    PEOPLE_KEPT,
    STEPS,
    fold_timeline,
    fold_touchpoint,
    leaves_a_trace,
)
from shared.domain.relationship.touchpoints import Touchpoint, made_of
from tests.domain.builders import at, touch
from tests.examples import examples

NOON = at("2026-06-01T12:00:00Z")
MONDAY = day_of(NOON)


def facts_of(*touches: Touchpoint) -> dict[str, Any]:
    """What has come of touchpoints, without what is empty."""
    found = msgspec.structs.asdict(fold_timeline(touches))
    return {name: value for name, value in found.items() if value}


def test_inbound() -> None:
    assert facts_of(touch("message.received", NOON, "m1", person="ana", sentiment=-0.5)) == {
        "first_touch": NOON,
        "last_in": NOON,
        "last_in_event": "test#m1",
        "last_in_person": "ana",
        "inbound_days": (MONDAY,),
        "people": {"ana": Person(last_in=NOON, last_event="test#m1")},
        "sentiment_sum": -0.5,
        "sentiment_count": 1,
    }


def test_outbound() -> None:
    assert facts_of(touch("message.sent", NOON, person="ana")) == {"first_touch": NOON, "last_out": NOON}


def test_a_meeting_is_both_and_with_everybody_in_it() -> None:
    found = facts_of(touch("meeting.held", NOON, "m1", people=["ana", "bob", 7]))
    assert found["last_in"] == found["last_out"] == NOON
    assert found["last_in_person"] == "ana"
    assert set(found["people"]) == {"ana", "bob"}


def test_a_fact_is_no_touch() -> None:
    assert facts_of(touch("note.added", NOON)) == {}


def test_a_late_touch_moves_the_beginning_and_not_the_end() -> None:
    found = facts_of(
        touch("message.received", NOON, "m1", person="ana"),
        touch("message.received", NOON - 2 * DAY, "m2", person="ana"),
        touch("message.sent", NOON, "m3"),
        touch("message.sent", NOON - 3 * DAY, "m4"),
        touch("message.received", NOON + 1, "m5"),
    )
    assert found == {
        "first_touch": NOON - 3 * DAY,
        "last_in": NOON + 1,
        "last_in_event": "test#m5",
        "last_out": NOON,
        "inbound_days": (MONDAY - 2, MONDAY),
        "people": {"ana": Person(last_in=NOON, last_event="test#m1")},
    }


def test_the_latest_days_are_kept() -> None:
    days = fold_timeline(touch("message.received", NOON - day * DAY, f"m{day}") for day in range(DAYS_KEPT + 9))
    assert days.inbound_days == tuple(range(MONDAY - DAYS_KEPT + 1, MONDAY + 1))


def test_promises() -> None:
    made = touch("promise.made", NOON, "p1", promise="p", due="2026-06-05", text="the report")
    due = at("2026-06-05")
    assert facts_of(made)["promises"] == {
        "p": Promise(due=due, by="us", made_at=NOON, event="test#p1", text="the report")
    }
    assert facts_of(made, touch("promise.kept", NOON + 1, promise="p")) == {
        "promises_kept": 1,
        "settled": {"promise/p": NOON + 1},
    }
    broken = facts_of(made, touch("promise.broken", NOON + 1, "p2", promise="p"))
    assert broken == {
        "promises": {
            "p": Promise(
                due=due,
                by="us",
                made_at=NOON,
                event="test#p1",
                text="the report",
                broken_at=NOON + 1,
                broken_by="test#p2",
            )
        },
        "promises_broken": 1,
    }


def test_a_promise_broken_that_nobody_had_told_of() -> None:
    found = facts_of(touch("promise.broken", NOON, "p2", promise="p", by="them"))["promises"]
    assert found == {
        "p": Promise(due=NOON, by="them", made_at=NOON, event="test#p2", broken_at=NOON, broken_by="test#p2")
    }


def test_the_oldest_open_items_are_dropped() -> None:
    made = [
        touch("promise.made", NOON + number, f"p{number}", promise=f"p{number}", due="2026-07-01")
        for number in range(OPEN_KEPT + 1)
    ]
    tickets = [
        touch("ticket.opened", NOON + number, f"t{number}", ticket=f"t{number}") for number in range(OPEN_KEPT + 2)
    ]
    found = fold_timeline([*made, *tickets])
    assert len(found.promises) == len(found.tickets) == OPEN_KEPT
    assert "p0" not in found.promises
    assert "p1" in found.promises
    assert "t1" not in found.tickets
    assert "t2" in found.tickets


def test_whoever_has_been_silent_longest_is_forgotten() -> None:
    found = fold_timeline(
        touch("message.received", NOON + number, f"m{number}", person=f"person {number}")
        for number in range(PEOPLE_KEPT + 1)
    )
    assert len(found.people) == PEOPLE_KEPT
    assert "person 0" not in found.people


def test_tickets() -> None:
    opened = touch("ticket.opened", NOON, ticket="t")
    assert facts_of(opened)["tickets"] == {"t": NOON}
    resolved = [opened, touch("ticket.resolved", NOON + 1, ticket="t")]
    assert "tickets" not in facts_of(*resolved)
    assert facts_of(*resolved, touch("ticket.reopened", NOON + 2, ticket="t"))["tickets"] == {"t": NOON + 2}
    assert facts_of(touch("ticket.escalated", NOON, ticket="t"))["escalations"] == 1


@pytest.mark.parametrize(
    ("what", "first", "last", "more"),
    [
        ("promise", "promise.made", "promise.kept", {"due": "2026-07-01"}),
        ("promise", "promise.broken", "promise.kept", {}),
        ("ticket", "ticket.opened", "ticket.resolved", {}),
    ],
)
def test_what_is_settled_stays_so_in_whatever_order_word_of_it_comes(
    what: str, first: str, last: str, more: dict[str, Any]
) -> None:
    begun = touch(first, NOON, **{what: "x"}, **more)
    over = touch(last, NOON + DAY, **{what: "x"})
    again = touch(first, NOON + 2 * DAY, **{what: "x"}, **more)
    for timeline in ((begun, over), (over, begun)):
        found = facts_of(*timeline)
        assert found["settled"] == {f"{what}/x": NOON + DAY}
        assert not found.keys() & {"promises", "tickets"}
    for timeline in ((begun, over, again), (again, over, begun), (over, again, begun)):
        found = facts_of(*timeline)
        assert [list(found[name]) for name in ("promises", "tickets") if name in found] == [["x"]]


def test_the_latest_answer_to_each_instrument() -> None:
    found = facts_of(
        touch("survey.answered", NOON, "s1", instrument="nps", score=3, person="ana"),
        touch("survey.answered", NOON - 1, "s2", instrument="nps", score=9, person="bob"),
        touch("survey.answered", NOON, "s3", instrument="csat", score=4),
    )
    assert found["surveys"] == {
        "nps": Survey(score=3, at=NOON, event="test#s1", person="ana"),
        "csat": Survey(score=4, at=NOON, event="test#s3"),
    }


@pytest.mark.parametrize(
    ("type", "field"),
    [
        ("payment.received", "payments"),
        ("payment.overdue", "payments_overdue"),
        ("referral.given", "referrals"),
        ("outcome.achieved", "outcomes"),
    ],
)
def test_what_is_counted(type: str, field: str) -> None:
    assert facts_of(touch(type, NOON, "a"), touch(type, NOON, "b"))[field] == 2


def test_people_come_change_and_go() -> None:
    joined = touch("person.joined", NOON, person="ana", role="champion")
    assert facts_of(joined)["people"] == {"ana": Person(role="champion")}
    left = touch("person.left", NOON + 2, person="ana")
    assert facts_of(joined, left)["people"] == {"ana": Person(role="champion", left_at=NOON + 2)}
    unreachable = touch("person.unreachable", NOON + 2, person="ana")
    assert facts_of(joined, unreachable) == facts_of(joined, left)
    back = touch("person.joined", NOON + 3, person="ana")
    assert facts_of(joined, left, back)["people"] == {"ana": Person(role="champion")}


def test_word_of_a_role_that_comes_late_brings_nobody_back() -> None:
    left = touch("person.left", NOON + 2, person="ana")
    late = touch("person.role_changed", NOON + 1, person="ana", role="admin")
    assert facts_of(left, late)["people"] == {"ana": Person(role="admin", left_at=NOON + 2)}


people = st.sampled_from(("ana", "bob"))
names = st.sampled_from("pq")


def timelines() -> st.SearchStrategy[list[Touchpoint]]:
    types: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "message.received": {"person": people, "sentiment": st.sampled_from((-1, 0, 0.5))},
        "meeting.held": {"people": st.lists(people)},
        "message.sent": {},
        "promise.made": {"promise": names, "due": st.just("2026-06-03")},
        "promise.kept": {"promise": names},
        "promise.broken": {"promise": names},
        "ticket.opened": {"ticket": names},
        "ticket.resolved": {"ticket": names},
        "survey.answered": {"instrument": st.just("nps"), "score": st.integers(0, 10)},
        "person.left": {"person": people},
        "person.joined": {"person": people},
        "payment.received": {},
    }
    one = st.one_of([st.tuples(st.just(type), st.fixed_dictionaries(data)) for type, data in types.items()])
    moments = st.integers(NOON - 9 * DAY, NOON)
    return st.lists(st.tuples(moments, one), min_size=1, max_size=12).map(
        lambda said: [touch(type, time, f"e{number}", **data) for number, (time, (type, data)) in enumerate(said)]
    )


@settings(max_examples=50, deadline=None)
@given(timelines(), st.data())
def test_what_is_retracted_might_never_have_been(timeline: list[Touchpoint], data: st.DataObject) -> None:
    out = data.draw(st.integers(0, len(timeline) - 1))
    crossed = [msgspec.structs.replace(entry, retracted=at == out) for at, entry in enumerate(timeline)]
    assert fold_timeline(crossed) == fold_timeline(timeline[:out] + timeline[out + 1 :])


@settings(max_examples=30, deadline=None)
@given(timelines())
def test_facts_are_never_changed_in_place(timeline: list[Touchpoint]) -> None:
    facts = Facts()
    for entry in timeline:
        before = msgspec.json.encode(facts)
        after = fold_touchpoint(facts, entry)
        assert msgspec.json.encode(facts) == before
        facts = after
    assert facts == fold_timeline(timeline)


def test_what_has_a_step_is_a_touchpoint_of_the_contract() -> None:
    assert {event_type(name).kind for name in STEPS} == {EventClass.TOUCHPOINT}
    assert STEPS.keys() <= EVENT_TYPES.keys()


# --- what an entry leaves behind


def entries() -> st.SearchStrategy[list[Touchpoint]]:
    """Timelines of a small world: many touches a day, several of one moment."""
    one = st.tuples(
        st.sampled_from(("message.received", "message.sent", "meeting.held", "note.added", "promise.kept")),
        st.integers(0, 6),
        st.integers(0, 2),
        st.sampled_from(("ana", "bob", "")),
        st.sampled_from(({}, {}, {}, {"sentiment": 0.5}, {"people": ["ana", "bob"]})),
    )
    return st.lists(one, min_size=1, max_size=25).map(
        lambda told: [
            made_of(
                Interaction("t", "r", f"e{number}", "s", type, NOON + day * DAY + minute * MINUTE),
                ({"person": person} if person else {}) | ({"promise": "p"} if type == "promise.kept" else {}) | more,
            )
            for number, (type, day, minute, person, more) in enumerate(told)
        ]
    )


def same_day(timeline: Sequence[Touchpoint], entry: Touchpoint) -> int:
    inbound = (Direction.INBOUND, Direction.MUTUAL)
    return sum(other.direction in inbound and day_of(other.time) == day_of(entry.time) for other in timeline)


@pytest.mark.parametrize(("people", "days"), [(200, 64), (2, 64), (200, 3)])
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries())
def test_what_leaves_no_trace_can_be_taken_away(people: int, days: int, timeline: list[Touchpoint]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fold, "PEOPLE_KEPT", people)
        patched.setattr(fold, "DAYS_KEPT", days)
        facts = fold_timeline(timeline)
        for entry in timeline:
            if not leaves_a_trace(facts, entry, same_day(timeline, entry)):
                assert fold_timeline([other for other in timeline if other is not entry]) == facts


def test_of_most_messages_nothing_is_left() -> None:
    told = [
        made_of(
            Interaction("t", "r", f"e{number}", "s", ("message.received", "message.sent")[number % 2], NOON + number),
            {"person": "ana"},
        )
        for number in range(20)
    ]
    facts = fold_timeline(told)
    traces = [entry.event for entry in told if leaves_a_trace(facts, entry, same_day(told, entry))]
    assert traces == ["s#e0", "s#e18", "s#e19"]
    assert not leaves_a_trace(facts, msgspec.structs.replace(told[18], retracted=True), 1)
