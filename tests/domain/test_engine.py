"""Folding a partition's records: what each event does, duplicates, redelivery, and waiting for due moments."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.block import USAGE, Block, Entry
from shared.domain.engine import Item, Known, Terms, step_many, tick, usage_entry
from shared.domain.events import DAY, HOUR, MINUTE, Interaction
from shared.domain.fence import Fence
from shared.domain.relationship import Head
from shared.domain.usage import day_of
from tests.domain.builders import LOG, Desk, at, interaction, playbook

NINE = at("2026-06-01T09:00:00Z")
TODAY = day_of(NINE)


@pytest.mark.parametrize(
    ("type", "data", "entry"),
    [
        ("usage.feature_used", {"feature": "export"}, Entry("use:export", "", TODAY, 1)),
        (
            "usage.feature_used",
            {"feature": "export", "person": "ana", "quantity": 2.5},
            Entry("use:export", "ana", TODAY, 2.5),
        ),
        ("usage.login", {"person": "ana"}, Entry("use:login", "ana", TODAY, 1)),
        ("usage.login", {"feature": "sso"}, Entry("use:sso", "", TODAY, 1)),
        ("usage.api_called", {"quantity": 100}, Entry("use:api_called", "", TODAY, 100)),
        (
            "usage.daily_total",
            {"day": "2026-05-30", "feature": "export", "quantity": 7},
            Entry("use:export", "", TODAY - 2, 7),
        ),
        ("message.received", {}, None),
        ("relationship.updated", {}, None),
    ],
)
def test_what_a_usage_event_counts(type: str, data: dict[str, Any], entry: Entry | None) -> None:
    assert usage_entry(interaction(type, NINE), data) == entry


def test_the_clock_the_first_and_the_last() -> None:
    desk = Desk()
    desk.say("usage.login", NINE, time=NINE - DAY)
    head = desk.head
    assert (head.clock, head.first_seen, head.last_seen, head.events) == (NINE, NINE - DAY, NINE - DAY, 1)
    desk.say("usage.login", NINE - MINUTE, time=NINE - 2 * DAY)  # a record that was stamped earlier
    assert (head.clock, head.first_seen, head.last_seen, head.events) == (NINE, NINE - 2 * DAY, NINE - DAY, 2)
    assert (head.incarnation, head.partition, head.offset) == (LOG, 0, 1)
    desk.say("usage.login", NINE, time=NINE + DAY, backfill=True)
    assert (head.clock, head.last_seen) == (NINE, NINE + DAY)  # history does not run ahead of its receipt
    assert desk.row.changed


def test_what_is_said_of_the_relationship() -> None:
    desk = Desk()
    desk.say("relationship.updated", NINE, name="Acme", seats=9)
    assert (desk.head.directory.name, desk.head.directory.seats) == ("Acme", 9)
    assert desk.block.view([desk.row], [NINE]).fact("seats").tolist() == [9]


def test_an_id_counts_once_within_the_window() -> None:
    desk = Desk(Terms(playbook(), dedup_window=2 * DAY))
    desk.say("usage.login", NINE, id="same")
    desk.say("usage.login", NINE + 2 * DAY, id="same")
    assert desk.head.events == 1
    desk.say("usage.login", NINE + 2 * DAY + 1, id="same")
    assert desk.head.events == 2


@pytest.mark.parametrize("stored", [False, True])
def test_a_touchpoint_counts_once_for_ever(stored: bool) -> None:
    desk = Desk()
    desk.say("message.received", NINE, id="m1")
    if stored:
        desk.store()
    desk.say("message.received", NINE + 60 * DAY, id="m1")
    assert desk.head.events == 1
    if stored:
        desk.timeline["acme/acct-1/test#m1"].incarnation = "zero"  # of an earlier log
        desk.timeline["acme/acct-1/test#m1"].offset = 9_999
        desk.say("message.received", NINE + 60 * DAY, id="m1")
        assert desk.head.events == 1


def test_a_redelivered_record_changes_nothing_and_is_told_again() -> None:
    desk = Desk()
    data = {"person": "ana"}
    item = Item(0, NINE, interaction("message.received", NINE, "m1", data), data)
    used = Item(1, NINE, interaction("usage.login", NINE, "u1", data), data, Entry("use:login", "ana", TODAY, 1.0))
    for _ in range(2):
        step = desk.fold(item, used)
        assert set(step.touched) == {"acme/acct-1"}
        assert step.duplicates == 0
    assert desk.head.events == 2
    assert desk.row.republish
    assert desk.shown().windows.inbound == desk.head.windows.usage == (1, 1, 1, 1)


def test_a_record_that_is_read_again_after_its_entry_was_stored() -> None:
    desk = Desk()
    data = {"person": "ana"}
    item = Item(0, NINE, interaction("message.received", NINE, "m1", data), data)
    desk.fold(item)
    desk.store()
    desk.fold(item)
    assert desk.row.pending == {}
    assert desk.shown().windows.inbound == (1, 1, 1, 1)


def test_duplicates_are_numbered() -> None:
    desk = Desk()
    data = {"person": "ana"}
    items = [Item(number, NINE, interaction("usage.login", NINE, "u1"), data) for number in range(3)]
    assert desk.fold(*items).duplicates == 2


def test_a_record_at_a_due_moment_waits_for_the_evaluation() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, promise="p", due="2026-06-01T09:30:00Z")
    desk.say("promise.kept", NINE + HOUR, promise="p")  # evaluated at 10:00 without it, then folded
    assert [(change.raised, change.moment) for change in desk.changes] == [(True, NINE + HOUR)]
    assert desk.changes[0].cause == msgspec.structs.replace(desk.changes[0].cause, offset=1, step=0)
    assert (desk.head.evaluated_at, desk.head.facts.promises_kept) == (NINE + HOUR, 1)
    desk.say("note.added", NINE + 2 * HOUR)
    assert [(change.raised, change.moment) for change in desk.changes[1:]] == [(False, NINE + 2 * HOUR)]


def test_history_during_history_waits_for_nothing() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, time=NINE - 3 * DAY, promise="p", due="2026-05-30", backfill=True)
    desk.say("promise.kept", NINE + DAY, time=NINE - DAY, promise="p", backfill=True)
    assert desk.changes == ()
    desk.clock(NINE + 2 * DAY)
    assert desk.changes == ()


def test_history_after_going_live_waits_for_what_is_due() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, promise="p", due="2026-06-01T09:30:00Z")
    desk.say("promise.kept", NINE + 2 * HOUR, time=NINE, promise="p", backfill=True)
    assert [(change.raised, change.quiet) for change in desk.changes] == [(True, False)]


def test_a_clock_record_counts_once() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, promise="p", due="2026-06-01T09:30:00Z")
    place = Fence(LOG, 0, 5)
    tick(desk.block, [desk.row], NINE + MINUTE, desk.terms, place)  # nothing is due yet
    assert desk.head.offset == 0
    tick(desk.block, [desk.row], NINE + HOUR, desk.terms, place)
    assert (desk.head.evaluated_at, desk.head.offset) == (NINE + HOUR, 5)
    tick(desk.block, [desk.row], NINE + 9 * DAY, desk.terms, place)
    assert desk.head.evaluated_at == NINE + HOUR


def test_each_due_moment_is_evaluated_by_itself() -> None:
    desk = Desk()
    for day in range(5):
        desk.say("message.received", NINE + day * DAY, person="ana")
    desk.clock(NINE + 40 * DAY)
    assert [(change.rule, change.moment) for change in desk.changes] == [("silence", NINE + 11 * DAY)]
    assert desk.changes[0].reason == "ana silent for 5 business days, usual gap 1"


Said = tuple[int, int, str, int]
KINDS = ("usage.login", "message.received", "promise.made", "promise.kept", "survey.answered", "event.retracted")


def story(said: list[Said]) -> list[Item]:
    """Items of three relationships, in the order of the log."""
    now, items = NINE, []
    for offset, (which, minutes, type, number) in enumerate(said):
        now += minutes * MINUTE
        data: dict[str, Any] = {
            "person": f"p{number % 2}",
            "promise": str(number % 2),
            "due": "2026-06-02T09:00:00Z",
            "instrument": "nps",
            "score": number,
            "id": f"e{number}",
        }
        event = Interaction("t", str(which), f"e{number}", "s", type, now, msgspec.Raw(msgspec.json.encode(data)))
        items.append(Item(offset, now, event, data, usage_entry(event, data)))
    return items


def folded(items: list[Item], sizes: list[int]) -> list[bytes]:
    """The heads after folding batches of these sizes; every batch is stored before the next."""
    block = Block(feature_days=68, capacity=1)
    timelines: dict[str, dict[str, Any]] = {}
    for which in range(3):
        block.add(Head(id=f"t/{which}", tenant="t", relationship=str(which)))
        timelines[f"t/{which}"] = {}
    waiting, turn = list(items), 0
    while waiting:
        size = sizes[turn % len(sizes)]
        turn += 1
        known = Known(
            {key: entry for timeline in timelines.values() for key, entry in timeline.items()},
            {id: list(timeline.values()) for id, timeline in timelines.items()},
        )
        step_many(block, waiting[:size], known, Terms(playbook()), LOG, 0)
        waiting = waiting[size:]
        for id, row in block.rows.items():
            timelines[id] |= row.pending
            row.pending = {}
    for row in block.rows.values():
        total = block.view([row], [row.head.clock]).total(USAGE, 30).sum()
        row.head.features = {"all": (float(total), 0.0)}
    return [msgspec.json.encode(block.rows[f"t/{which}"].head) for which in range(3)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 600), st.sampled_from(KINDS), st.integers(0, 5)), max_size=25),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_batch_boundaries_do_not_matter(said: list[Said], sizes: list[int]) -> None:
    items = story(said)
    assert folded(items, sizes) == folded(items, [1]) == folded(items, [1_000])
