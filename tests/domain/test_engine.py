"""Folding a partition's records: what each event does, duplicates, redelivery, and waiting for due moments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.columns.dedup import Stored
from shared.domain.columns.id_chunks import CHUNKS_A_DAY, part_of, seen, unpack
from shared.domain.columns.row import INBOUND, OUTBOUND, TOTAL_DAYS, USAGE, Entry, Row
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, HOUR, MINUTE, Interaction, id_hash, relationship_key
from shared.domain.contract.uses import PLAIN_USE, Use, UseData
from shared.domain.engine.display import refresh
from shared.domain.engine.run import Item, Prefetched, Run, Span, usage_entry
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import RelationshipState
from tests.domain.builders import ID, LOG, NAME, TENANT, Desk, at, interaction, month_document, playbook
from tests.examples import examples

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
    state = desk.state
    assert (state.clock, state.first_seen, state.last_seen, state.events) == (NINE, NINE - DAY, NINE - DAY, 1)
    desk.say("usage.login", NINE - MINUTE, time=NINE - 2 * DAY)  # a record that was stamped earlier
    assert (state.clock, state.first_seen, state.last_seen, state.events) == (NINE, NINE - 2 * DAY, NINE - DAY, 2)
    assert (state.incarnation, state.partition, state.position) == (LOG, 0, 1)
    desk.say("usage.login", NINE, time=NINE + DAY, backfill=True)
    assert (state.clock, state.last_seen) == (NINE, NINE + DAY)  # history does not run ahead of its receipt
    assert desk.row.changed


def test_what_is_said_of_the_relationship() -> None:
    desk = Desk()
    desk.say("relationship.updated", NINE, name="Acme", seats=9)
    assert (desk.state.directory.name, desk.state.directory.seats) == ("Acme", 9)
    assert desk.block.view([desk.row], [NINE]).fact("seats").tolist() == [9]


def test_an_id_counts_once_within_the_window() -> None:
    desk = Desk(block=Block(feature_days=68, window=2, capacity=1))
    desk.say("usage.login", NINE, id="same")
    desk.say("usage.login", NINE + 2 * DAY, id="same")
    assert desk.state.events == 1
    desk.say("usage.login", at("2026-06-03T23:59:59.999Z"), id="same")
    assert desk.state.events == 1
    desk.say("usage.login", at("2026-06-04"), id="same")  # the window ends with its last day
    assert desk.state.events == 2


@pytest.mark.parametrize("stored", [False, True])
def test_a_touchpoint_counts_once_for_ever(stored: bool) -> None:
    desk = Desk()
    desk.say("message.received", NINE, id="m1")
    if stored:
        desk.store()
    desk.say("message.received", NINE + 60 * DAY, id="m1")
    assert desk.state.events == 1
    if stored:
        desk.timeline["acme/acct-1/test#m1"].incarnation = "zero"  # of an earlier log
        desk.timeline["acme/acct-1/test#m1"].position = 9_999
        desk.say("message.received", NINE + 60 * DAY, id="m1")
        assert desk.state.events == 1


def test_a_redelivered_record_changes_nothing_and_is_told_again() -> None:
    desk = Desk()
    data = {"person": "ana"}
    item = Item(0, NINE, interaction("message.received", NINE, "m1", data), data)
    used = Item(1, NINE, interaction("usage.login", NINE, "u1", data), data, Entry("use:login", "ana", TODAY, 1.0))
    for _ in range(2):
        step = desk.fold(item, used)
        assert set(step.touched) == {"acme/acct-1"}
        assert step.duplicates == 0
        desk.reload(next=0)
    assert desk.state.events == 2
    assert desk.shown().windows.inbound == desk.state.windows.usage == (1, 1, 1, 1)


def test_a_record_that_is_read_again_after_its_entry_was_stored() -> None:
    desk = Desk()
    data = {"person": "ana"}
    item = Item(0, NINE, interaction("message.received", NINE, "m1", data), data)
    desk.fold(item)
    desk.reload(next=0)
    step = desk.fold(item)
    assert (set(step.touched), step.duplicates) == ({"acme/acct-1"}, 0)
    assert desk.row.pending == {}
    assert desk.shown().windows.inbound == (1, 1, 1, 1)


def test_duplicates_are_numbered() -> None:
    desk = Desk()
    data = {"person": "ana"}
    items = [Item(number, NINE, interaction("usage.login", NINE, "u1"), data) for number in range(3)]
    assert desk.fold(*items).duplicates == 2


def test_an_event_without_a_time_says_nothing_of_when_a_relationship_began() -> None:
    uses = [Use(TENANT, NAME, f"u{time}", "s", "usage.login", time, UseData()) for time in (0, NINE)]
    together, apart, unknown = Desk(), Desk(), Desk()
    run = Run()
    run.append(ID, uses, [0, 1], [NINE, NINE])
    together.run(run)
    apart.say("usage.login", NINE, time=0)
    apart.say("usage.login", NINE)
    run = Run()
    run.append(ID, uses[:1], [0], [NINE])
    unknown.run(run)
    assert (together.state.first_seen, apart.state.first_seen, unknown.state.first_seen) == (NINE, NINE, 0)


def test_an_event_that_does_not_count_brings_no_evaluation() -> None:
    desk = Desk()
    desk.say("event.retracted", NINE, about="m1")
    desk.reload()
    data = {"person": "ana"}
    late = Item(desk.position + 1, NINE + 2 * HOUR, interaction("message.received", NINE, "m1", data), data)
    step = desk.fold(late)
    assert (step.duplicates, desk.state.evaluated_at, desk.state.events) == (1, 0, 1)
    assert (len(desk.row.new_ids), desk.row.changed) == (1, False)  # its id is to be stored, and nothing else
    desk.say("note.added", NINE + 2 * HOUR)
    assert desk.state.evaluated_at == NINE + HOUR


def test_a_record_at_a_due_moment_waits_for_the_evaluation() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, promise="p", due="2026-06-01T09:30:00Z")
    desk.say("promise.kept", NINE + HOUR, promise="p")  # evaluated at 10:00 without it, then folded
    assert [(change.raised, change.moment) for change in desk.changes] == [(True, NINE + HOUR), (False, NINE + HOUR)]
    assert desk.changes[0].cause == msgspec.structs.replace(desk.changes[0].cause, position=1, step=0)
    assert (desk.state.evaluated_at, desk.state.facts.promises_kept) == (NINE + HOUR, 1)
    desk.say("note.added", NINE + 2 * HOUR)
    assert len(desk.changes) == 2


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
    assert [(change.raised, change.suppressed) for change in desk.changes] == [(True, False)]


def test_a_clock_record_counts_once() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, promise="p", due="2026-06-01T09:30:00Z")
    place = Fence(LOG, 0, 5)
    tick(desk.block, [desk.row], NINE + MINUTE, desk.terms, place)  # nothing is due yet
    assert desk.state.position == 0
    tick(desk.block, [desk.row], NINE + HOUR, desk.terms, place)
    assert (desk.state.evaluated_at, desk.state.position) == (NINE + HOUR, 5)
    tick(desk.block, [desk.row], NINE + 9 * DAY, desk.terms, place)
    assert desk.state.evaluated_at == NINE + HOUR


def test_each_due_moment_is_evaluated_by_itself() -> None:
    desk = Desk()
    for day in range(5):
        desk.say("message.received", NINE + day * DAY, person="ana")
    desk.clock(NINE + 40 * DAY)
    assert [(change.rule, change.moment) for change in desk.changes] == [("silence", NINE + 11 * DAY)]
    assert desk.changes[0].reason == "ana silent for 5 business days, usual gap 1"


# --- batches -----------------------------------------------------------------------------------------------------


def test_a_run_by_hand() -> None:
    use = Use("t", "0", "e1", "s", "usage.login", NINE, UseData(person="ana", quantity=2.0))
    message = Item(7, NINE, interaction("message.received", NINE), {})
    run = Run()
    run.append("t/none", [], [], [])  # nothing was said of it that could be read
    run.append("t/0", [use, message], [4, 7], [NINE + 1, NINE])
    assert run.hashes == [id_hash("s", "e1"), id_hash("test", message.id)]
    assert (len(run), run.spans, run.items) == (2, [Span("t/0", 0, 2)], {1: message})
    assert run.uses == ([NINE, 0], ["login", ""], ["ana", ""], [2.0, 0.0])
    assert run.item(1, "t/0") is message
    event = Interaction("t", "0", "", "", "usage.feature_used", NINE)  # nothing more of a plain use matters
    assert run.item(0, "t/0") == Item(4, NINE + 1, event, {}, Entry("use:login", "ana", TODAY, 2.0))


def test_an_id_that_is_stored_already_is_not_stored_again() -> None:
    """A worker was stopped when it had stored the ids of new relationships, and nothing else."""
    desk = Desk()
    items = [Item(number, NINE, interaction("usage.login", NINE, f"u{number}"), {}) for number in range(2)]
    run = run_of(items)
    number = TODAY * CHUNKS_A_DAY
    packed = part_of(seen([run.hashes[0]], [0], [NINE]), Fence(LOG, 0)).packed
    desk.block.ids.load([Stored(desk.row.tag, number, *unpack("o0", packed), (0, 0))])
    assert desk.run(run).duplicates == 0
    assert [ids.tolist() for ids in desk.row.new_ids] == [[[run.hashes[1], 1, NINE]]]
    assert desk.state.events == 2


NAMES = ("0", "1", "2")
Said = tuple[int, int, int, str, int]
PLAIN = ("usage.login", "usage.login", "usage.feature_used", "usage.feature_used", "usage.api_called")
OTHERS = (
    "usage.daily_total",
    "message.received",
    "promise.made",
    "promise.kept",
    "survey.answered",
    "event.retracted",
    "relationship.updated",
)
LAGS = (0, 0, 0, 0, HOUR, -20 * HOUR, 3 * DAY, 45 * DAY, 70 * DAY, 450 * DAY)  # from event time to receipt


def story(said: list[Said]) -> list[Item]:
    """Items of three relationships, in the order of the log."""
    now, items = NINE, []
    for position, (which, minutes, lag, type, number) in enumerate(said):
        now += minutes * MINUTE
        items.append(item_of(position, now, Interaction("t", str(which), f"e{number}", "s", type, now - lag), number))
    return items


def item_of(position: int, now: int, event: Interaction, number: int) -> Item:
    """The item of such an event; every ninth comes as history."""
    data: dict[str, Any] = {
        "person": f"p{number % 2}",
        "promise": str(number % 2),
        "due": "2026-06-02T09:00:00Z",
        "instrument": "nps",
        "score": number % 11,
        "id": f"e{number - 1}",
        "quantity": number % 4,
        "day": "2026-05-30",
        "name": f"n{number}",
    }
    if event.type in ("usage.feature_used", "usage.daily_total") or number % 5 == 0:
        data["feature"] = f"f{number % 3}"
    whole = msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(data)), backfill=number % 9 == 8)
    return Item(position, now, whole, data, usage_entry(whole, data))


def run_of(items: list[Item]) -> Run:
    """These as scoring takes them: plain uses as columns, the rest as items; what follows one another in one span."""
    run = Run()
    for id, group in groupby(items, key=lambda item: relationship_key(item.event.tenant, item.event.relationship)):
        found = list(group)
        run.append(
            id, [decoded(item) for item in found], [one.position for one in found], [one.received for one in found]
        )
    return run


def decoded(item: Item) -> Use | Item:
    """As scoring takes it."""
    event = item.event
    plain = event.type in PLAIN_USE and not event.backfill
    return msgspec.json.decode(msgspec.json.encode(event), type=Use) if plain else item


def by_relationship(items: list[Item]) -> list[Item]:
    """In the order scoring takes them: of one relationship after another."""
    return sorted(items, key=lambda item: (item.event.relationship, item.position))


def folded(runs: list[Run]) -> dict[str, Any]:
    """Everything that comes of these runs; what a run leaves on the timeline is stored before the next."""
    block = Block(feature_days=68, capacity=1)
    timelines: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        block.add(RelationshipState(id=f"t/{name}", tenant="t", relationship=name))
        timelines[f"t/{name}"] = {}
    touched: set[str] = set()
    duplicates = 0
    for run in runs:
        prefetched = Prefetched(
            {key: entry for timeline in timelines.values() for key, entry in timeline.items()},
            {id: list(timeline.values()) for id, timeline in timelines.items()},
        )
        step = step_many(block, run, prefetched, Terms(playbook()), LOG, 0)
        touched |= set(step.touched)
        duplicates += step.duplicates
        for id, row in block.rows.items():
            timelines[id] |= row.pending
            row.pending = {}
    refresh(block, list(block.rows.values()))
    return {
        "states": {id: msgspec.json.encode(row.state, order="deterministic") for id, row in block.rows.items()},
        "months": {id: [month_document(row, name) for name in row.cells] for id, row in block.rows.items()},
        "changed": {id: row.changed for id, row in block.rows.items()},
        "people": {id: row.people for id, row in block.rows.items()},
        "series": {id: series(block, row) for id, row in block.rows.items() if row.cells},
        "ids": {id: [line for ids in row.new_ids for line in ids.tolist()] for id, row in block.rows.items()},
        "resident": block.ids.resident,
        "timelines": timelines,
        "touched": touched,
        "duplicates": duplicates,
    }


def series(block: Block, row: Row) -> tuple[list[list[float]], dict[str, list[float]]]:
    view = block.view([row], [int(block.columns.horizons[row.index]) * DAY])
    totals = [view.series(which).counts(TOTAL_DAYS)[0].tolist() for which in (USAGE, INBOUND, OUTBOUND)]
    return totals, {name: view.daily(0, name, 60).tolist() for name in row.slots}


def said(types: tuple[str, ...], most: int) -> st.SearchStrategy[list[Said]]:
    minutes = st.sampled_from((0, 0, 0, 1, 5, 59, 60, 600, 3 * 24 * 60, 8 * 24 * 60))
    one = st.tuples(st.integers(0, 2), minutes, st.sampled_from(LAGS), st.sampled_from(types), st.integers(0, 17))
    return st.lists(one, max_size=most)


def batches(items: list[Item], sizes: list[int]) -> list[list[Item]]:
    """The items in batches of these sizes, over and over."""
    found, at_item = [], 0
    while at_item < len(items):
        size = sizes[len(found) % len(sizes)]
        found.append(items[at_item : at_item + size])
        at_item += size
    return found


sizes = st.lists(st.integers(1, 12), min_size=1, max_size=4)

EVENTFUL: list[Said] = [  # uses before, between and after what is none, one twice, a promise falling due, and midnights
    (0, 0, 0, "usage.login", 1),
    (0, 0, 0, "promise.made", 2),
    (0, 1, 0, "usage.login", 3),
    (0, 0, 0, "usage.feature_used", 4),
    (0, 1, 0, "usage.login", 3),
    (0, 5, 0, "usage.login", 5),
    (0, 59, 0, "usage.login", 6),
    (0, 3 * 24 * 60, 0, "usage.login", 7),
    (0, 60, 0, "usage.login", 9),
    (0, 600, 0, "usage.login", 10),
    (0, 600, 0, "usage.login", 11),
]


@settings(max_examples=examples(30), deadline=None)
@given(said(OTHERS + PLAIN[1:4:2], 25), sizes)
def test_batch_boundaries_do_not_matter(published: list[Said], sizes: list[int]) -> None:
    items = story(published)
    one_by_one = folded([Run.of([item]) for item in items])
    assert folded([Run.of(batch) for batch in batches(items, sizes)]) == one_by_one
    assert folded([Run.of(batch) for batch in batches(items, [1_000])]) == one_by_one


@settings(max_examples=examples(60), deadline=None)
@given(said(PLAIN * 4 + OTHERS, 40), sizes, st.sampled_from((list, by_relationship)))
@example(EVENTFUL, [len(EVENTFUL)], list)
def test_plain_uses_leave_what_items_folded_one_by_one_do(
    published: list[Said], sizes: list[int], order: Callable[[list[Item]], list[Item]]
) -> None:
    """The fast path against the slow, obvious way."""
    items = story(published)
    assert folded([run_of(order(batch)) for batch in batches(items, sizes)]) == folded(
        [Run.of([item]) for item in items]
    )


USED_AGAIN = [  # an id of a message that comes again when ids of its day count no longer, and then as a use
    (0, 0, 0, "message.received", 0),
    *[(0, 0, 0, "usage.login", 0)] * 5,
    (0, 8 * DAY // MINUTE, 0, "message.received", 0),
    (0, 0, 0, "usage.login", 0),
]


@settings(max_examples=examples(40), deadline=None)
@given(said(PLAIN * 4 + OTHERS, 25), st.integers(0, 24), st.integers(0, 24))
@example(EVENTFUL, 6, 2)
@example(USED_AGAIN, 7, 7)
def test_plain_uses_that_are_delivered_again_change_nothing(published: list[Said], stored: int, again: int) -> None:
    """A worker that has stored everything up to somewhere, and reads on from before that, against one that went on."""
    published = [(0, minutes, lag, type, number) for _, minutes, lag, type, number in published]
    items = [msgspec.structs.replace(item, event=mine(item.event)) for item in story(published)]
    stays, comes = Desk(), Desk()
    if items:
        stays.run(run_of(items))
        stays.store()
    upto = min(stored, len(items))
    start = min(again, upto)
    if upto:
        comes.run(run_of(items[:upto]))
        comes.position = upto - 1
        comes.reload(next=start)
    if items[start:]:
        comes.run(run_of(items[start:]))
        comes.store()
    assert msgspec.json.encode(comes.shown(), order="deterministic") == msgspec.json.encode(
        stays.shown(), order="deterministic"
    )
    assert {name: month.days for name, month in comes.months.items()} == {
        name: month.days for name, month in stays.months.items()
    }
    assert {id: entry.position for id, entry in comes.timeline.items()} == {
        id: entry.position for id, entry in stays.timeline.items()
    }


def mine(event: Interaction) -> Interaction:
    return msgspec.structs.replace(event, tenant="acme", relationship="acct-1")
