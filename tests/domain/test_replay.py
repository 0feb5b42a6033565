"""Replay: the past through the engine as if it came live, however it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.contract.events import DAY, HOUR, Interaction, Millis
from shared.domain.engine import replay as replaying
from shared.domain.engine.replay import Flagged, Replay, Scored
from shared.domain.engine.run import Item, Prefetched, Run, usage_entry
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import FlagChange, Severity
from shared.domain.relationship.state import RelationshipState
from tests.domain.builders import at, playbook
from tests.domain.test_baseline import TIED, USUAL

START = at("2026-06-01")
TERMS = Terms(playbook("usage_drop", params={"baseline_weeks": 2}))  # short tests: soon there is a baseline
_ids = count()


def event(who: str, type: str, time: Millis, id: str = "", /, *, backfill: bool = False, **data: Any) -> Interaction:
    raw = msgspec.Raw(msgspec.json.encode(data))
    return Interaction("acme", who, id or f"n{next(_ids)}", "test", type, time, raw, backfill)


def ordered(*events: Interaction) -> list[Interaction]:
    return sorted(events, key=lambda one: one.time)


def use(who: str, days: Iterable[int], uses: float = 6) -> list[Interaction]:
    """So many uses of api on each of these days."""
    kind, data = "usage.feature_used", {"feature": "api", "person": "ann", "quantity": uses}
    return [event(who, kind, START + day * DAY + 9 * HOUR, **data) for day in days]


def flags(found: Iterable[Flagged | Scored]) -> list[tuple[str, str, bool, Millis]]:
    return [
        (one.relationship, one.change.rule, one.change.raised, one.change.moment)
        for one in found
        if isinstance(one, Flagged)
    ]


def seen(found: Iterable[Flagged | Scored]) -> list[Any]:
    """What is said, without the place in the log that brought it about."""
    return [
        (one.relationship, msgspec.structs.replace(one.change, cause=None)) if isinstance(one, Flagged) else one
        for one in found
    ]


def run(
    events: Sequence[Interaction], until: Millis, moments: Iterable[Millis] = (), *, at_once: int = 3_000
) -> list[Flagged | Scored]:
    return list(Replay(TERMS, at_once).run(events, until, moments))


def one_by_one(events: Iterable[Interaction], until: Millis, terms: Terms = TERMS) -> list[tuple[str, FlagChange]]:
    """The same through the engine by hand: a run for each event, and one clock record at the end."""
    block, found = terms.block(), list[tuple[str, FlagChange]]()
    end = 0
    for position, one in enumerate(one for one in events if one.time <= until):
        id = f"{one.tenant}/{one.relationship}"
        if id not in block.rows:
            block.add(RelationshipState(id=id, tenant=one.tenant, relationship=one.relationship))
        data = msgspec.json.decode(one.data)
        run = Run.of([Item(position, one.time, one, data, usage_entry(one, data))])
        step_many(block, run, Prefetched({}, {}), terms, "log", 0)
        end = position + 1
    tick(block, list(block.rows.values()), until, terms, Fence("log", 0, end))
    for row in block.rows.values():
        found += [(row.state.relationship, change) for change in row.state.changes]
    return sorted(found, key=lambda told: (told[1].moment, told[0]))


def plainly(found: Iterable[Any]) -> list[Any]:
    """Flag changes as what can be compared between logs: who, which, when and in which words."""
    pairs = ((one.relationship, one.change) if isinstance(one, Flagged) else one for one in found)
    return [
        (who, one.moment, one.rule, one.subject, one.raised, one.reason, one.numbers, one.evidence)
        for who, one in pairs
    ]


def test_a_drop_is_flagged_at_its_own_moment_and_cleared_when_use_is_back() -> None:
    events = use("a", [*range(24), *range(40, 70)])
    found = run(events, START + 70 * DAY)
    drops = [one for one in flags(found) if one[1] == "usage_drop"]
    assert [raised for _, _, raised, _ in drops] == [True, True, False]  # a warning, then critical, then over
    assert START + 24 * DAY < drops[0][3] < START + 29 * DAY
    severities = [one.change.severity for one in found if isinstance(one, Flagged) and one.change.rule == "usage_drop"]
    assert severities == [Severity.WARNING, Severity.CRITICAL, Severity.CRITICAL]


def test_it_goes_on_to_the_end_although_nothing_comes() -> None:
    events = use("a", range(24))
    assert not flags(run(events, events[-1].time))
    assert flags(run(events, START + 30 * DAY))


def test_what_comes_after_the_end_is_left_out() -> None:
    replay = Replay(TERMS)
    events = [event("a", "usage.login", START), event("b", "usage.login", START + DAY)]
    assert list(replay.run(events, START + HOUR)) == []
    assert (replay.relationships, replay.clock) == (1, START + HOUR)


def test_nothing_is_replayed() -> None:
    replay = Replay(TERMS)
    replay.take([])
    assert list(replay.run([], START, [START])) == []
    assert (replay.relationships, replay.clock) == (0, START)


def test_an_event_before_the_clock_is_refused() -> None:
    replay = Replay(TERMS)
    replay.advance(START)
    replay.take([event("a", "usage.login", START)])
    with pytest.raises(ValueError, match="after the clock has reached"):
        replay.take([event("a", "usage.login", START - 1)])
    replay.advance(START - DAY)
    assert replay.clock == START


def test_history_counts_as_live() -> None:
    answer = {"instrument": "nps", "score": 2, "person": "ann"}
    events = [event("a", "survey.answered", START, backfill=True, **answer)]
    (found,) = run(events, START)
    assert isinstance(found, Flagged)
    assert found.change.raised
    assert not found.change.suppressed


def test_an_event_counts_once() -> None:
    same = [event("a", "usage.login", START + n * HOUR, "x") for n in range(2)]
    told = [event("a", "message.received", START + n * 9 * DAY, "y") for n in range(2)]
    other = event("b", "usage.login", START, "x")
    replay = Replay(TERMS)
    list(replay.run(ordered(*same, *told, other), START + 10 * DAY))
    assert replay.duplicates == 2


def test_a_retraction_clears_what_its_event_had_raised() -> None:
    events = [
        event("a", "survey.answered", START, "s", instrument="nps", score=2, person="ann"),
        event("a", "event.retracted", START + 4 * DAY, id="s"),
    ]
    assert flags(run(events, START + 5 * DAY)) == [
        ("a", "nps_detractor", True, START),
        ("a", "nps_detractor", False, START + 4 * DAY),
    ]


def test_a_correction_replaces_what_came_before() -> None:
    better = {"type": "survey.answered", "data": {"instrument": "nps", "score": 9, "person": "ann"}}
    events = [
        event("a", "survey.answered", START, "s", instrument="nps", score=2, person="ann"),
        event("a", "event.corrected", START + 4 * DAY, id="s", replacement=better),
    ]
    *changes, scored = run(events, START + 5 * DAY, [START + 5 * DAY])
    assert flags(changes)[-1] == ("a", "nps_detractor", False, START + 4 * DAY)
    assert isinstance(scored, Scored)
    assert scored.scores.ri.factors["quality"].value == 0.9


def test_changes_come_in_the_order_of_their_moments_then_of_relationships() -> None:
    answers = [
        event(who, "survey.answered", START + n * DAY, instrument="nps", score=2, person="ann")
        for n in range(2)
        for who in "cab"
    ]
    found = [(moment, who) for who, _, _, moment in flags(run(answers, START + 10 * DAY, at_once=1))]
    assert found == sorted(found)
    assert [who for _, who in found] == ["a", "b", "c", "a", "b", "c"]


def test_more_changes_than_a_state_remembers_are_all_told() -> None:
    answers = [
        event("a", "survey.answered", START + n // 60, instrument="nps", score=2, person=f"p{n}") for n in range(150)
    ]
    for at_once in (1, 40, 3_000):
        found = [one for one in flags(run(answers, START + 91 * DAY, at_once=at_once)) if one[1] == "nps_detractor"]
        assert [raised for _, _, raised, _ in found] == [True] * 150 + [False] * 150


def test_scores_are_those_of_that_moment() -> None:
    events = ordered(*use("a", range(10)), *use("b", range(5, 15)), event("c", "message.received", START + 12 * DAY))
    moments = [START - DAY, START + 7 * DAY, START + 12 * DAY, START + 14 * DAY + HOUR]
    found = [one for one in run(events, START + 16 * DAY, moments) if isinstance(one, Scored)]
    known = {0: "", 1: "ab", 2: "abc", 3: "abc"}
    assert [(one.relationship, one.at) for one in found] == [(who, moments[n]) for n in known for who in known[n]]
    for moment in moments:
        until_then = [one for one in run(events, moment, [moment]) if isinstance(one, Scored)]
        assert until_then == [one for one in found if one.at == moment]
    assert found[0].scores.rv.factors["engagement"].value is not None


def test_moments_after_the_end_are_passed_over() -> None:
    assert run([event("a", "usage.login", START)], START + 1, [START + 2]) == []


def test_a_total_restates_a_day_of_an_earlier_month() -> None:
    def total(day: int, told: int, quantity: float) -> Interaction:
        name = f"2026-06-{day:02}"
        return event("a", "usage.daily_total", START + told * DAY, day=name, feature="api", quantity=quantity)

    before, moment = range(1, 6), START + 36 * DAY
    late = use("a", range(31, 35))
    right = [*(total(day, day, 5.0) for day in before), *late]
    wrong = [*(total(day, day, 90.0) for day in before), *late]
    restated = [*wrong, *(total(day, 34, 5.0) for day in before)]
    *_, first = run(ordered(*right), moment, [moment])
    *_, second = run(ordered(*restated), moment, [moment])
    *_, third = run(ordered(*wrong), moment, [moment])
    assert seen([first]) == seen([second]) != seen([third])


def test_of_a_field_that_is_there_twice_the_last_counts() -> None:
    raw = msgspec.Raw(b'{"feature":"api","quantity":"many","quantity":40}')
    plain = use("a", range(24))
    twice = [msgspec.structs.replace(one, data=raw) for one in plain]
    fourty = [msgspec.structs.replace(one, data=msgspec.Raw(b'{"feature":"api","quantity":40}')) for one in plain]
    until = START + 30 * DAY
    assert seen(run(twice, until)) == seen(run(fourty, until)) != []


def test_series_reach_as_far_back_as_the_rules_look() -> None:
    long = playbook("usage_drop", params={"baseline_weeks": 52})
    replay = Replay(Terms(long))
    replay.take([event("a", "usage.login", START)])
    assert list(replay.run([], START + DAY)) == []


def test_a_fall_by_exactly_the_threshold_does_not_hang_on_who_is_looked_at_with_it() -> None:
    """148 uses in a week where 185 are usual: on Saturday that is exactly the share that warns."""

    def weeks(who: str) -> list[Interaction]:
        uses = (one for n, week in enumerate((*USUAL, TIED)) for one in enumerate(week, 7 * n))
        return [one for day, count in uses for one in use(who, [day], count)]

    terms = Terms(playbook())
    alone, together = (
        [one for one in flags(Replay(terms).run(ordered(*events), START + 56 * DAY)) if one[0] == "a"]
        for events in (weeks("a"), [*weeks("a"), *weeks("b"), *weeks("c")])
    )
    assert alone == together
    _, rule, raised, moment = alone[-1]
    assert (rule, raised, (moment - START) // DAY) == ("usage_drop", True, 54)


KINDS = st.one_of(
    st.tuples(st.just("usage.feature_used"), st.fixed_dictionaries({"feature": st.sampled_from("xy")})),
    st.tuples(st.just("message.received"), st.fixed_dictionaries({"person": st.sampled_from(["ann", "bob"])})),
    st.tuples(st.just("message.sent"), st.just({})),
    st.tuples(
        st.just("survey.answered"),
        st.fixed_dictionaries({"score": st.integers(0, 10), "person": st.sampled_from(["ann", "bob"])}),
    ),
    st.tuples(st.just("promise.made"), st.fixed_dictionaries({"days": st.integers(0, 20)})),
    st.tuples(st.just("event.retracted"), st.fixed_dictionaries({"id": st.integers(0, 40).map(lambda n: f"e{n}")})),
    st.tuples(
        st.just("relationship.updated"), st.fixed_dictionaries({"status": st.sampled_from(["active", "churned"])})
    ),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0, 1, 30 * 60_000, HOUR, 9 * HOUR, DAY, 4 * DAY]),
        KINDS,
        st.integers(0, 60),  # the number of its id: some come twice
    ),
    max_size=20,
)


def made(steps: Iterable[tuple[str, Millis, tuple[str, dict[str, Any]], int]]) -> list[Interaction]:
    """Events of these steps after one another, beside somebody who has used api until a certain day."""
    events, now = use("a", range(22)), START + 20 * DAY
    for who, gap, (type, data), number in steps:
        now += gap
        if type == "promise.made":
            data = {"promise": f"p{number}", "due": f"2026-06-{10 + data['days']:02}"}
        elif type == "survey.answered":
            data = {"instrument": "nps", **data}
        events.append(event(who, type, now, f"e{number}", **data))
    return ordered(*events)


@settings(max_examples=8, deadline=None)
@given(STEPS, st.sampled_from([1, 2, 7, 50]))
def test_it_says_the_same_however_it_is_cut_and_what_live_says(steps: list[Any], at_once: int) -> None:
    events = made(steps)
    until = events[-1].time + 3 * DAY
    moments = [START + 23 * DAY, events[-1].time, until]
    whole = run(events, until, moments)
    assert seen(run(events, until, moments, at_once=at_once)) == seen(whole)
    told = [one for one in whole if isinstance(one, Flagged)]
    if len(told) < 60:  # beyond, a state that has never been told of has let go of some
        assert plainly(told) == plainly(one_by_one(events, until))


def test_it_says_the_same_however_many_are_evaluated_together(monkeypatch: pytest.MonkeyPatch) -> None:
    events = ordered(*(one for who in "abcde" for one in use(who, range(22))))
    moments = [START + 23 * DAY]
    whole = run(events, START + 28 * DAY, moments)
    monkeypatch.setattr(replaying, "ROWS_AT_ONCE", 2)
    assert seen(run(events, START + 28 * DAY, moments)) == seen(whole)
    assert len(flags(whole)) >= 5
